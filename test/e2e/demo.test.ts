import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { SitesAnswer, SiteView } from "../../central/http/views.ts";
import { temporaryFolder } from "../support/folder.ts";
import { freePort } from "../support/mosquitto.ts";
import { startPlantgate, until } from "../support/process.ts";

const template = fileURLToPath(new URL("../../packaging/demo/config/assembly-plant.yaml", import.meta.url));

/** Processes whose command line names this folder. */
function processesOf(folder: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return command.includes(folder) ? [`${pid} ${command}`] : [];
      } catch {
        return [];
      }
    });
}

it("runs central, three gateways and the systems around them, takes a changed mapping, and ends all of it at Ctrl-C", async () => {
  using folder = temporaryFolder();
  const data = join(folder.path, "demo");
  const port = await freePort();
  await using demo = startPlantgate(["demo", "--data", data, "--port", String(port)], { cwd: folder.path });
  await until(
    () => demo.output.findLast((line) => /central [1-9]\d* msg\/s/.test(line)),
    (line) => line !== undefined,
  );
  expect(demo.output.some((line) => /Console, signed in: +http:\/\/127\.0\.0\.1:\d+\/signin\?code=/.test(line))).toBe(true);
  expect(processesOf(data).length).toBeGreaterThan(5);

  const authorization = `Bearer ${readFileSync(join(data, "central", "admin.token"), "utf8").trim()}`;
  const sites = async (): Promise<SiteView[]> => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/sites`, { headers: { authorization } });
    return [...((await response.json()) as SitesAnswer).sites];
  };
  const connects = (all: readonly SiteView[], name: string) =>
    all.find((site) => site.name === name)!.connectors.map((connector) => [connector.name, connector.connects]);
  const before = await until(sites, (all) => all.every((site) => site.connectors.every((connector) => connector.state === "up")));
  const changed = join(folder.path, "assembly-plant.yaml");
  writeFileSync(changed, readFileSync(template, "utf8").replace("payload.operator", '"operator-" & payload.operator'));
  await using push = startPlantgate(["push", "lyon", changed], { cwd: folder.path });
  expect(await push.ended).toBe(0);
  const after = await until(sites, (all) => all.find((site) => site.name === "lyon")?.reportedRevision === 2);
  expect(after.find((site) => site.name === "lyon")).toMatchObject({
    desiredRevision: 2,
    configurationState: expect.stringMatching(/^(watching|active)$/),
  });
  expect(connects(after, "lyon")).toEqual(connects(before, "lyon"));
  expect(after.find((site) => site.name === "porto")).toMatchObject({ desiredRevision: 1, reportedRevision: 1 });

  await demo.kill("SIGINT");
  expect(await demo.ended).toBe(0);
  expect(processesOf(data)).toEqual([]);
});
