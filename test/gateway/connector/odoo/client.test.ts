import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { OdooClient, OdooError } from "../../../../gateway/connector/odoo/client.ts";
import { outcomeOf } from "../../../../gateway/connector/odoo/operation.ts";
import { PlantgateError } from "../../../../protocol/index.ts";

const signal = new AbortController().signal;
let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<string> {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => answer(request, response, body));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function clientOf(url: string, timeoutMs = 10_000): OdooClient {
  return new OdooClient({ url: `${url}/`, database: "plant", apiKey: () => "k3y", timeoutMs });
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(value));
}

async function failureOf(work: Promise<unknown>): Promise<OdooError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OdooError);
  return error as OdooError;
}

describe("a call of Odoo", () => {
  it("names key and database in headers, and asks for exactly the fields it reads", async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response, body) => {
      seen.push(request.url, request.headers.authorization, request.headers["x-odoo-database"], JSON.parse(body));
      json(response, 200, [{ id: 7, name: "kg" }]);
    });
    expect(
      await clientOf(url).search("uom.uom", z.object({ id: z.int(), name: z.string() }), [["name", "=", "kg"]], signal),
    ).toEqual([{ id: 7, name: "kg" }]);
    expect(seen).toEqual([
      "/json/2/uom.uom/search_read",
      "bearer k3y",
      "plant",
      { domain: [["name", "=", "kg"]], fields: ["name"], order: "id", context: { lang: "en_US" } },
    ]);
  });

  it("never goes out without record ids, as Odoo would answer true and do nothing", async () => {
    let requests = 0;
    const url = await serve((_, response) => {
      requests += 1;
      json(response, 200, true);
    });
    await expect(clientOf(url).write("mrp.production", [], { priority: "1" }, signal)).rejects.toMatchObject({
      code: "INVARIANT",
    });
    await expect(clientOf(url).write("mrp.production", [Number.NaN], { priority: "1" }, signal)).rejects.toMatchObject({
      code: "INVARIANT",
    });
    expect(requests).toBe(0);
  });

  it("has an unknown outcome when a write's connection ends before its answer", async () => {
    const url = await serve((request) => request.socket.destroy());
    const error = await failureOf(clientOf(url).write("stock.picking", [1], {}, signal));
    expect(error).toMatchObject({ failure: "no-answer", wrote: true, code: "PEER_TIMEOUT" });
    expect(outcomeOf(error).kind).toBe("unknown");
  });

  it("is tried again when only a question was left without answer", async () => {
    const url = await serve((request) => request.socket.destroy());
    expect(outcomeOf(await failureOf(clientOf(url).search("uom.uom", z.object({ id: z.int() }), [], signal))).kind).toBe("retry");
  });

  it("has an unknown outcome when a write is not answered in time", async () => {
    const url = await serve(() => {});
    expect(outcomeOf(await failureOf(clientOf(url, 100).write("stock.picking", [1], {}, signal))).kind).toBe("unknown");
  });

  it("is tried again when nobody listens, as nothing was sent", async () => {
    const url = await serve(() => {});
    await new Promise((resolve) => server!.close(resolve));
    server = undefined;
    const error = await failureOf(clientOf(url).write("stock.picking", [1], {}, signal));
    expect(error.failure).toBe("unsent");
    expect(outcomeOf(error).kind).toBe("retry");
  });

  it("is tried again while the key's file is missing, as the message is not to blame, and says which", async () => {
    let requests = 0;
    const url = await serve((_, response) => {
      requests += 1;
      json(response, 200, true);
    });
    const missing = () => {
      throw new PlantgateError("SECRET_MISSING", 'the secret "odoo" is missing: put it into /secrets/odoo');
    };
    const client = new OdooClient({ url, database: "plant", apiKey: missing, timeoutMs: 10_000 });
    const error = await failureOf(client.write("stock.picking", [1], {}, signal));
    expect(error).toMatchObject({ failure: "denied", reason: expect.stringContaining("put it into /secrets/odoo") });
    expect(outcomeOf(error)).toMatchObject({ kind: "retry" });
    expect(requests).toBe(0);
  });

  it.each(["SECRET_MISSING", "CONFIG_INVALID"] as const)("is not refused for %s: that is not about the message", (code) => {
    expect(outcomeOf(new PlantgateError(code, "x")).kind).toBe("retry");
  });

  it.each(["UNIT_UNKNOWN", "INPUT_INVALID"] as const)("is refused for %s, as the message will not change", (code) => {
    expect(outcomeOf(new PlantgateError(code, "x")).kind).toBe("refused");
  });

  it("has an unknown outcome when the database failed under a write, which may be there, and none under a question", async () => {
    const url = await serve((_, response) =>
      json(response, 500, { name: "psycopg2.errors.AdminShutdown", message: "terminating connection", debug: "" }),
    );
    expect(outcomeOf(await failureOf(clientOf(url).write("stock.picking", [1], {}, signal))).kind).toBe("unknown");
    expect(outcomeOf(await failureOf(clientOf(url).search("uom.uom", z.object({ id: z.int() }), [], signal))).kind).toBe("retry");
  });

  it("does not carry the key along a redirect", async () => {
    const keys: unknown[] = [];
    const url = await serve((request, response) => {
      keys.push(request.url);
      response.writeHead(307, { location: "/elsewhere" }).end();
    });
    await failureOf(clientOf(url).write("stock.picking", [1], {}, signal));
    expect(keys).toEqual(["/json/2/stock.picking/write"]);
  });

  it("shows a person Odoo's sentence and keeps its traceback to itself", async () => {
    const url = await serve((_, response) =>
      json(response, 422, {
        name: "odoo.exceptions.UserError",
        message: "You need to supply a lot.",
        arguments: [],
        context: {},
        debug: "File odoo/secret.py",
      }),
    );
    const outcome = outcomeOf(await failureOf(clientOf(url).write("stock.picking", [1], {}, signal)));
    expect(outcome).toEqual({ kind: "refused", reason: "stock.picking/write: You need to supply a lot." });
  });
});
