import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Document } from "../../../protocol/index.ts";
import { type Ended, plantgate, plantgateHere } from "../../support/command.ts";
import { plantDocuments } from "../../support/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { startPlantgate } from "../../support/process.ts";
import { type CentralProcess, openSystem } from "../../support/system.ts";

/** A real central, and a folder with a connection file as the demo writes one. */
const system = openSystem();
let central: CentralProcess;
let cwd: string;
const run = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd });
const oneSentence = /^plantgate: [^\n]+\n$/;

beforeAll(async () => {
  central = await system.central();
  cwd = join(system.folder, "operator");
  mkdirSync(join(cwd, ".plantgate"), { recursive: true });
  const connection = { url: central.url, tokenFile: join(central.dataDir, "admin.token") };
  writeFileSync(join(cwd, ".plantgate", "cli.json"), JSON.stringify(connection));
});
afterAll(() => system[Symbol.asyncDispose]());

async function keyOf(site: string): Promise<string> {
  const file = join(cwd, `${site}.pub`);
  writeFileSync(file, (await run("key", "--data", `data-${site}`)).out);
  return file;
}

describe("plantgate central", () => {
  const settingsOf = async (...args: string[]): Promise<unknown> => {
    using folder = temporaryFolder();
    await using process = startPlantgate(["central", "--data", folder.path, "--port", "0", ...args]);
    return await process.logged("central.process.started");
  };

  it("says at its start which settings are in effect, and has defaults for them", async () => {
    expect(await settingsOf()).toMatchObject({
      recoveryPointSeconds: 3600,
      leaseSeconds: 15,
      maxBacklogMessages: 5_000_000,
      maxReleasesMiB: 4096,
      trustedProxies: ["127.0.0.1", "::1"],
    });
  });

  it("takes the proxies that stand before it from its command line, and no other word for them", async () => {
    expect(await settingsOf("--trusted-proxy", "10.0.0.0/8", "192.0.2.7")).toMatchObject({
      trustedProxies: ["10.0.0.0/8", "192.0.2.7"],
    });
    const wrong = await plantgate(["central", "--data", "unused", "--trusted-proxy", "proxy.example.com"], { cwd });
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining("an address or a network such as 10.0.0.0/8") });
  });

  it("takes recovery point, lease, backlog and room for packages from its command line", async () => {
    const said = ["--recovery-point", "60", "--lease", "30", "--max-backlog", "10000", "--max-releases", "1024"];
    expect(await settingsOf(...said)).toMatchObject({
      recoveryPointSeconds: 60,
      leaseSeconds: 30,
      maxBacklogMessages: 10_000,
      maxReleasesMiB: 1024,
    });
  });
});

describe("plantgate site", () => {
  it("adds a site and prints central's key, for the same again too", async () => {
    const { publicKey } = await central.get<{ publicKey: string }>("/v1/signing-key");
    const file = await keyOf("nantes");
    for (const { code, out, err } of [
      await plantgate(["site", "add", "nantes", "--public-key", file], { cwd }),
      await run("site", "add", "nantes", "--public-key", file),
    ]) {
      expect(out.trim()).toBe(publicKey.trim());
      expect(err).toContain('Site "nantes" is registered');
      expect(code).toBe(0);
    }
  });

  it("writes central's key where it is told to", async () => {
    const { publicKey } = await central.get<{ publicKey: string }>("/v1/signing-key");
    const { code, out } = await run("site", "add", "lille", "--public-key", await keyOf("lille"), "--out", "central.pub");
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(readFileSync(join(cwd, "central.pub"), "utf8")).toBe(publicKey);
  });

  it("is refused another key for a site, until the site is revoked", async () => {
    await run("site", "add", "brest", "--public-key", await keyOf("brest"));
    const other = await keyOf("another");
    const refused = await run("site", "add", "brest", "--public-key", other);
    expect(refused).toMatchObject({ code: 1, out: "", err: expect.stringContaining("pinned to another key") });
    expect(await run("site", "revoke", "brest")).toEqual({ code: 0, out: 'The access of "brest" is revoked.\n', err: "" });
    expect(await run("site", "add", "brest", "--public-key", other)).toMatchObject({ code: 0 });
  });

  it.each<[string, (key: string) => string[] | Promise<string[]>, string]>([
    ["a key file that cannot be read", () => ["--public-key", "absent.pub"], "absent.pub cannot be read"],
    ["a key file that holds no key", () => ["--public-key", ".plantgate/cli.json"], "an Ed25519 public key in PEM"],
    [
      "a token file that cannot be read",
      (key) => ["--public-key", key, "--token-file", "absent"],
      "the token cannot be read from absent",
    ],
    ["a token file that holds something else", (key) => ["--public-key", key, "--token-file", key], "does not hold a token"],
    [
      "a token that is not central's",
      (key) => {
        writeFileSync(join(cwd, "other.token"), `${"a".repeat(43)}\n`);
        return ["--public-key", key, "--token-file", "other.token"];
      },
      "not a token of this central",
    ],
    [
      "an address where nothing answers",
      (key) => ["--public-key", key, "--central", "http://127.0.0.1:9", "--token-file", "other.token"],
      "is central running? Nothing answers at http://127.0.0.1:9",
    ],
    [
      "another central than the one that the known token is for",
      (key) => ["--public-key", key, "--central", "http://127.0.0.1:9"],
      "not for http://127.0.0.1:9: give --token-file FILE",
    ],
  ])("says in one sentence what is wrong with %s", async (_, options, message) => {
    const { code, out, err } = await run("site", "add", "metz", ...(await options(await keyOf("metz"))));
    expect(err).toMatch(oneSentence);
    expect(err).toContain(message);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect((await central.get<{ sites: { name: string }[] }>("/v1/sites")).sites.map(({ name }) => name)).not.toContain("metz");
  });

  it("says that it knows no central, or cannot read the file that names it", async () => {
    const elsewhere = join(system.folder, "elsewhere");
    mkdirSync(join(elsewhere, ".plantgate"), { recursive: true });
    const unknown = await plantgateHere(["site", "revoke", "lyon"], { cwd: elsewhere });
    expect(unknown).toMatchObject({ code: 1, err: expect.stringMatching(oneSentence) });
    expect(unknown.err).toContain("give --central URL and --token-file FILE");
    writeFileSync(join(elsewhere, ".plantgate", "cli.json"), "{");
    const broken = await plantgateHere(["site", "revoke", "lyon"], { cwd: elsewhere });
    expect(broken).toMatchObject({ code: 1, err: expect.stringMatching(oneSentence) });
    expect(broken.err).toContain("cli.json is not a connection file");
  });
});

describe("plantgate push", () => {
  const write = (name: string, value: unknown): string => {
    mkdirSync(join(cwd, "config"), { recursive: true });
    writeFileSync(join(cwd, "config", name), typeof value === "string" ? value : JSON.stringify(value, null, 2));
    return join("config", name);
  };
  const documents = (): [Document, Document] =>
    plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1883" }) as [Document, Document];
  /** The template with an example of one of its flows, both files beside it. */
  const withExample = (purpose = "Tell the ERP what was picked"): Document => {
    const template = structuredClone(documents()[0]) as { spec: { flows: Record<string, Record<string, unknown>> } };
    const shortage = {
      shortageId: "S-1",
      moId: "hq-mo-42",
      item: "RM-ALU",
      qtyShort: { value: "2.5", unitCode: "KGM", scale: 1 },
    };
    const rest = { cause: "empty-bin", reportedAt: "2026-11-24T08:00:00.000Z" };
    write("shortage.json", {
      txn: "S-1",
      order: "hq-mo-42",
      sku: "RM-ALU",
      short: "2.5",
      uom: "KGM",
      cause: rest.cause,
      at: rest.reportedAt,
    });
    write("shortage.out.json", [{ data: { ...shortage, ...rest } }]);
    Object.assign(template.spec.flows.shortages as object, {
      examples: [{ given: "shortage.json", expect: "shortage.out.json" }],
    });
    Object.assign(template.spec.flows.picks as object, { purpose });
    return template as unknown as Document;
  };
  const desired = async (): Promise<number | undefined> =>
    (await central.get<{ sites: { name: string; desiredRevision: number }[] }>("/v1/sites")).sites.find(
      ({ name }) => name === "lyon",
    )?.desiredRevision;
  beforeAll(async () => {
    await run("site", "add", "lyon", "--public-key", await keyOf("lyon"));
    const files = [write("site.json", documents()[1]), write("template.json", withExample())];
    const first = await run("push", "lyon", ...files);
    expect(first).toEqual({ code: 0, out: "lyon: revision 1 is desired now\n", err: "" });
  });

  it("of the same again changes nothing", async () => {
    const files = ["config/site.json", write("template.json", withExample("The same again"))];
    await run("push", "lyon", ...files);
    const before = await desired();
    const again = await run("push", "lyon", ...files);
    expect(again).toEqual({ code: 0, out: `lyon: revision ${before} holds exactly this already; nothing changes\n`, err: "" });
    expect(await desired()).toBe(before);
  });

  it("of the template alone keeps the site's document of the last revision", async () => {
    const before = (await desired()) as number;
    const pushed = await run("push", "lyon", write("template.json", withExample("Say what was picked")));
    expect(pushed).toEqual({ code: 0, out: `lyon: revision ${before + 1} is desired now\n`, err: "" });
    expect(await desired()).toBe(before + 1);
    const site = await run("push", "lyon", "config/site.json");
    expect(site.out).toBe(`lyon: revision ${before + 1} holds exactly this already; nothing changes\n`);
  });

  it.each<[string, () => string[], RegExp]>([
    [
      "a key that nobody knows",
      () => [write("bad.json", { ...withExample(), sped: 1 })],
      /^config\/bad\.json:\d+:\d+ sped: unknown key "sped"/m,
    ],
    [
      "an alias that leads nowhere",
      () => [write("bad.yaml", "apiVersion: plantgate/v1\nkind: Template\nmetadata: *nothing\n")],
      /^config\/bad\.yaml:\d+:\d+ /m,
    ],
    [
      "YAML that is none",
      () => [write("bad.yaml", "apiVersion: plantgate/v1\nkind: [Template\n")],
      /^config\/bad\.yaml:\d+:\d+ /m,
    ],
  ])("of %s is refused whole, with every problem and its place", async (_, files, problem) => {
    const before = await desired();
    const { code, out, err } = await run("push", "lyon", ...files());
    expect(err).toMatch(problem);
    expect(err).toMatch(/^lyon: refused whole, (1 problem|\d+ problems); the running configuration stays\n$/m);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(await desired()).toBe(before);
  });

  it("runs no examples: they are for review", async () => {
    const before = (await desired()) as number;
    const template = write("template.json", withExample("With another example"));
    write("shortage.out.json", { shortageId: "S-2" });
    const pushed = await run("push", "lyon", template);
    expect(pushed).toEqual({ code: 0, out: `lyon: revision ${before + 1} is desired now\n`, err: "" });
  });

  it.each([
    ["a site that is none", ["push", "paris", "config/site.json"], 'there is no site "paris"'],
    ["a file that cannot be read", ["push", "lyon", "config/absent.yaml"], "config/absent.yaml cannot be read"],
  ])("says in one sentence what is wrong with %s", async (_, args, message) => {
    const { code, out, err } = await plantgate(args, { cwd });
    expect(err).toMatch(oneSentence);
    expect(err).toContain(message);
    expect({ code, out }).toEqual({ code: 1, out: "" });
  });
});
