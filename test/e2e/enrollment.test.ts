import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import { WallClock } from "../fault/clock/faketime.ts";
import { eventually, startTestCentral, type TestCentral } from "../support/central.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type Ended, plantgateHere } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import { type RunningProcess, startPlantgate } from "../support/process.ts";
import { siteDocuments } from "../support/site-documents.ts";
import { startConnectProxy, startTlsFront } from "../support/tls-front.ts";

/** Central, a folder for whoever sits there, and its command line. */
async function office() {
  const folder = temporaryFolder();
  const central = await startTestCentral();
  const tokenFile = join(folder.path, "admin.token");
  writeFileSync(tokenFile, central.adminToken);
  const at = (...args: string[]): Promise<Ended> =>
    plantgateHere([...args, "--central", central.url, "--token-file", tokenFile], { cwd: folder.path });
  const inPlant = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: folder.path });
  return {
    folder: folder.path,
    central,
    at,
    inPlant,
    async [Symbol.asyncDispose]() {
      await central[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
const fine = (ended: Ended): Ended => {
  expect(ended).toMatchObject({ code: 0 });
  return ended;
};
const connected = (gateway: RunningProcess): Promise<unknown> => gateway.logged("link.session.began");
const applied = (gateway: RunningProcess): Promise<unknown> => gateway.logged("agent.bundle.resumed");
const keyStates = async ({ admin }: TestCentral, site: string): Promise<string[]> =>
  (await admin<{ keys: { state: string }[] }>("GET", `/v1/sites/${site}/keys`)).body.keys.map(({ state }) => state);
const linesWith = (process: RunningProcess, text: string): Promise<string> =>
  eventually(
    async () => process.output.find((line) => line.includes(text)) ?? "",
    (line) => line !== "",
  );

it("enrolls through a proxy and a private authority, goes on after it was ended, and starts from its folder alone", async () => {
  await using here = await office();
  const { folder, central, at } = here;
  const authority = await makeAuthority();
  const certificate = await authority.issue();
  await using front = await startTlsFront(certificate, central.url);
  await using proxy = await startConnectProxy("plant:secret");
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, authority.ca);
  fine(await at("site", "create", "lyon", "--environment", "dev"));
  const token = fine(await at("site", "token", "lyon", "--life", "2h")).out.trim();
  const data = join(folder, "gateway");
  const enroll = () =>
    startPlantgate([
      ...["enroll", "--central", `https://127.0.0.1:${front.port}`, "--token", token, "--data", data],
      ...["--central-ca", ca, "--proxy", `http://plant:secret@127.0.0.1:${proxy.port}`],
    ]);
  await using first = enroll();
  const line = await linesWith(first, "--fingerprint");
  const fingerprint = line.trim().split(" ").at(-1) ?? "";
  expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
  expect(first.output.join("\n").replaceAll(/\s/g, "")).toContain(fingerprint.slice(0, 16));
  expect(await first.kill("SIGINT")).toBe(1);
  expect(existsSync(join(data, "gateway.json"))).toBe(false);
  await using again = enroll();
  await linesWith(again, "Waiting");
  expect((await at("site", "confirm", "lyon", "--fingerprint", "ab".repeat(32))).code).toBe(1);
  // as it is read over the phone, half of it
  fine(await at("site", "confirm", "lyon", "--fingerprint", (fingerprint.slice(0, 32).match(/.{4}/g) ?? []).join(" ")));
  expect(await again.ended).toBe(0);
  writeFileSync(ca, "gone");
  await using gateway = startPlantgate(["gateway", "--data", data, "--http-port", "0"]);
  await connected(gateway);
  expect(await keyStates(central, "lyon")).toEqual(["active"]);
  expect(new Set(proxy.tunnels)).toEqual(new Set([`127.0.0.1:${front.port}`]));
  // it follows central's own key, from the one that it pinned
  const { out } = fine(await at("central", "rotate-signing-key", "--overlap", "1h"));
  const kid = /signs with ([\w-]+)/.exec(out)?.[1];
  await eventually(
    async () => readFileSync(join(data, "identity", "central-keys.json"), "utf8"),
    (pinned) => (JSON.parse(pinned) as { keys: { kid: string }[] }).keys.at(-1)?.kid === kid,
  );
  // used up, and nowhere in what central keeps
  expect(
    (await here.inPlant("enroll", "--central", central.url, "--token", token, "--data", join(folder, "other"))).err,
  ).toContain("this token is not valid");
  const kept = ["ledger.db", "ledger.db-wal"].map((file) => join(central.dataDir, file)).filter(existsSync);
  for (const file of kept) expect(readFileSync(file).includes(token)).toBe(false);
});

it("tells another central from the one that made the token, and writes nothing", async () => {
  await using here = await office();
  await using other = await office();
  for (const one of [here, other]) fine(await one.at("site", "create", "lyon", "--environment", "dev"));
  const [token, theirs] = [
    fine(await here.at("site", "token", "lyon")).out.trim(),
    fine(await other.at("site", "token", "lyon")).out.trim(),
  ];
  // somebody in its place takes whatever token it is shown
  const forged = `${theirs.split(".")[0]}.${token.split(".")[1]}`;
  const data = join(here.folder, "gateway");
  const ended = await here.inPlant("enroll", "--central", other.central.url, "--token", forged, "--data", data);
  expect(ended).toMatchObject({ code: 1 });
  expect(ended.err).toContain("not valid");
  expect((await here.inPlant("enroll", "--central", other.central.url, "--token", "nonsense", "--data", data)).err).toContain(
    "no enrollment token",
  );
  expect(existsSync(join(data, "gateway.json"))).toBe(false);
  const started = await here.inPlant("gateway", "--data", data);
  expect(started).toMatchObject({ code: 1 });
  expect(started.err).toContain("plantgate enroll");
});

it("starts with a configuration and secrets that were carried to it, without ever a way to central, and takes none back", async () => {
  await using here = await office();
  const { folder, central, at, inPlant } = here;
  fine(await at("site", "create", "lyon", "--environment", "dev"));
  const [template, site] = siteDocuments({ site: "lyon" });
  const said = JSON.parse(template!.text) as { spec: { connectors: Record<string, unknown> } };
  const push = async (topic: string): Promise<void> => {
    const users = [{ username: "terminal", password: { secret: "terminal" }, publish: [`${topic}/#`] }];
    said.spec.connectors = { floor: { type: "mqtt-broker", port: 0, users, grants: { subscribe: [`${topic}/#`] } } };
    const files = [{ name: "template.yaml", text: JSON.stringify(said) }, site];
    expect(await central.admin("POST", "/v1/sites/lyon/revisions", { files })).toMatchObject({ status: 201 });
  };
  await push("first");
  expect((await central.admin("PUT", "/v1/secrets/terminal", { value: "planted-password" })).status).toBeLessThan(300);
  const data = join(folder, "gateway");
  const [request, answer] = [join(folder, "request.json"), join(folder, "answer.jws")];
  const fingerprint = fine(await inPlant("enroll", "--request", request, "--data", data)).out.trim();
  // once more, as the stick was lost
  expect(fine(await inPlant("enroll", "--request", request, "--data", data)).out.trim()).toBe(fingerprint);
  const enrolled = fine(await at("site", "enroll", "lyon", "--request", request, "--out", answer));
  expect(enrolled.out.replaceAll(/\s/g, "")).toContain(fingerprint.slice(0, 16));
  expect(await keyStates(central, "lyon")).toEqual(["active"]);
  // sealed: whoever finds the stick learns nothing
  expect(Buffer.from(readFileSync(answer, "utf8").split(".")[1] ?? "", "base64url").toString()).not.toContain("planted-password");
  fine(await inPlant("bundle", "import", answer, "--data", data));
  expect(JSON.parse(readFileSync(join(data, "gateway.json"), "utf8"))).toEqual({ site: "lyon", centralUrl: central.url });
  const [first, second] = [join(folder, "1.jws"), join(folder, "2.jws")];
  await push("second");
  fine(await at("bundle", "export", "lyon", "--out", first));
  await push("third");
  fine(await at("bundle", "export", "lyon", "--out", second));
  await central.stop();

  await using gateway = startPlantgate(["gateway", "--data", data, "--http-port", "0"]);
  expect(await applied(gateway)).toMatchObject({ revision: 1 });
  // what was carried to it is what its broker judges by, though central was never heard
  expect(gateway.output.join("\n")).not.toContain("secret.store.failed");
  expect(gateway.output.join("\n")).not.toContain("connector.make.failed");
  expect((await inPlant("bundle", "import", second, "--data", data)).err).toContain("another gateway runs");
  const again = ["enroll", "--central", central.url, "--token", "pge_a.b", "--data", data];
  expect((await inPlant(...again)).err).toBe(
    `plantgate: this gateway is enrolled as lyon at ${central.url}, and runs, or another command is at work on it: nothing was changed. To enroll it anew stop it first: end its process with SIGTERM\n`,
  );
  await gateway.kill("SIGTERM");

  fine(await inPlant("bundle", "import", second, "--data", data));
  const older = await inPlant("bundle", "import", first, "--data", data);
  expect([older.code, older.err]).toEqual([1, expect.stringContaining("--force")]);
  await using renewed = startPlantgate(["gateway", "--data", data, "--http-port", "0"]);
  expect(await applied(renewed)).toMatchObject({ revision: 3 });
  await renewed.kill("SIGTERM");
  fine(await inPlant("bundle", "import", first, "--data", data, "--force"));
  // nobody else's: a file for this gateway that nobody signed, and one in a folder that asked for none
  const forged = join(folder, "forged.jws");
  const [head, payload, signature] = readFileSync(second, "utf8").trim().split(".");
  const changed = { ...JSON.parse(Buffer.from(payload ?? "", "base64url").toString()), central: "https://example.com" };
  writeFileSync(forged, [head, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join("."));
  expect((await inPlant("bundle", "import", forged, "--data", data, "--force")).code).toBe(1);
  mkdirSync(join(folder, "stranger"));
  expect((await inPlant("bundle", "import", second, "--data", join(folder, "stranger"))).code).toBe(1);
  await central.restart();
});

const faketime = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path));

it.skipIf(faketime === undefined)(
  "TRAPS 33: enrolls, starts and talks by the pinned TLS key while its clock says 1970, and says so without one",
  async () => {
    await using here = await office();
    const { folder, central, at } = here;
    const authority = await makeAuthority();
    const certificate = await authority.issue();
    await using front = await startTlsFront(certificate, central.url);
    writeFileSync(join(folder, "ca.pem"), authority.ca);
    const clock = new WallClock(folder, "plant", faketime as string);
    clock.jump(-Math.floor(Date.now() / 1000) + 3600);
    fine(await at("site", "create", "lyon", "--environment", "dev"));
    const token = fine(await at("site", "token", "lyon")).out.trim();
    const data = join(folder, "gateway");
    const enroll = (...way: string[]) =>
      startPlantgate(["enroll", "--central", `https://127.0.0.1:${front.port}`, "--token", token, "--data", data, ...way], {
        env: clock.env,
      });
    await using judged = enroll("--central-ca", join(folder, "ca.pem"));
    expect(await linesWith(judged, "--central-pin")).toContain("1970-01-01");
    await judged.kill("SIGTERM");
    await using pinned = enroll("--central-pin", certificate.pin);
    const fingerprint = (await linesWith(pinned, "--fingerprint")).trim().split(" ").at(-1) ?? "";
    fine(await at("site", "confirm", "lyon", "--fingerprint", fingerprint));
    expect(await pinned.ended).toBe(0);
    await using gateway = startPlantgate(["gateway", "--data", data, "--http-port", "0"], { env: clock.env });
    await connected(gateway);
    // a change of keys goes by central's clock
    fine(await at("site", "rotate-key", "lyon"));
    await gateway.logged("identity.key.changed");
    await eventually(
      () => keyStates(central, "lyon"),
      (states) => states.includes("retiring") && states.includes("active"),
    );
  },
);

it("names what a site that is like another one lacks, and leaves that one's addresses out of the draft", async () => {
  await using here = await office();
  const { folder, central, at } = here;
  const owner = { owner: "integration", purpose: "The line of lyon" };
  const template = {
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: { name: "line", ...owner },
    spec: {
      parameters: {
        wmsUrl: { type: "string", format: "uri" },
        pace: { type: "integer" },
        press: { type: "string" },
        spare: { type: "string" },
      },
      codes: { "odoo.warehouse": { LYO: "lyon" } },
      connectors: { wms: { type: "mqtt", url: "${wmsUrl}", password: { secret: "wms" }, grants: { subscribe: ["wms/#"] } } },
      flows: {},
    },
  };
  const site = {
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { name: "lyon", ...owner, labels: { environment: "dev", region: "eu" } },
    spec: {
      template: "line",
      parameters: { wmsUrl: "mqtts://wms.lyon.example.com", pace: 3, press: "press-lyon-1", spare: "none" },
      grants: {},
    },
  };
  for (const [name, document] of [
    ["template.yaml", template],
    ["lyon.yaml", site],
  ] as const)
    writeFileSync(join(folder, name), stringify(document));
  await central.admin("POST", "/v1/sites", { name: "lyon", environment: "dev" });
  const files = [template, site].map((document, index) => ({ name: `${index}.yaml`, text: JSON.stringify(document) }));
  const change = await central.admin<{ number: number }>("POST", "/v1/changes", { title: "lyon", environment: "dev", files });
  expect(change.status).toBe(201);
  const made = fine(await at("site", "create", "metz", "--environment", "dev", "--like", "lyon", "-o", "json"));
  const { findings, change: draft } = JSON.parse(made.out) as { findings: { kind: string; path: string }[]; change: number };
  expect(findings.map(({ kind, path }) => `${kind} ${path}`)).toEqual(
    expect.arrayContaining(["parameter wmsUrl", "parameter press", "code line: odoo.warehouse", "label region"]),
  );
  const { body } = await central.admin<{ documents: { name: string; text: string }[] }>("GET", `/v1/changes/${draft}`);
  const text = body.documents.find(({ name }) => name === "metz")?.text ?? "";
  expect(text).toContain("pace: 3");
  expect(text).not.toMatch(/lyon/);
  expect((await central.admin("GET", "/v1/sites/metz/keys")).status).toBe(200);
});
