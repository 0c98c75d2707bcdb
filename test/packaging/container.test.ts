import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { project } from "../../packaging/package/workspace.ts";

const text = (name: string): string => readFileSync(join(project, "packaging/container", name), "utf8");

interface Compose {
  readonly services: Readonly<Record<string, { readonly healthcheck?: { readonly test: readonly string[] } }>>;
}

/** The commands that ask whether central is well: the image's own, and compose's for images that were built without it. */
const checks: Readonly<Record<string, () => readonly string[]>> = {
  "the image's": () => JSON.parse(/^HEALTHCHECK[^[]*CMD (\[[^\n]*\])$/m.exec(text("Containerfile"))?.[1] ?? "[]") as string[],
  "compose.yaml's": () => {
    const { central } = (parse(text("compose.yaml")) as Compose).services;
    const [kind, line = ""] = central?.healthcheck?.test ?? [];
    // a list of words is torn apart by podman-compose 1.0
    expect(kind).toBe("CMD-SHELL");
    return ["sh", "-c", line];
  },
};

it.each(Object.entries(checks))(
  "%s health check says yes to 200, no to 503, and no where nobody answers",
  async (_whose, words) => {
    let status = 200;
    const server = createServer((_request, response) => void response.writeHead(status).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const ask = async (): Promise<number | null> => {
      const [program, ...args] = words().map((word) =>
        word.replace("/opt/plantgate/bin/node", process.execPath).replace("127.0.0.1:8420", `127.0.0.1:${port}`),
      ) as [string, ...string[]];
      const env = { ...process.env, PLANTGATE_PORT: String(port) };
      const [code] = (await once(spawn(program, args, { env, stdio: "ignore" }), "close")) as [number | null];
      return code;
    };
    expect(await ask()).toBe(0);
    status = 503;
    expect(await ask()).toBe(1);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await ask()).toBe(1);
  },
);
