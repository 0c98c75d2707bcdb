import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { SitesAnswer } from "../../central/http/views.ts";
import { temporaryFolder } from "../support/folder.ts";
import { LeakSearch } from "../support/leak-search.ts";
import { freePort } from "../support/mosquitto.ts";
import { startPlantgate, until } from "../support/process.ts";

const template = fileURLToPath(new URL("../../packaging/demo/config/assembly-plant.yaml", import.meta.url));
/** Signs that are written differently in URLs, JSON and base64. */
const text = (kind: string) => `${kind}+"${randomBytes(12).toString("base64")}"/ü~${randomBytes(6).toString("hex")}`;

it("a secret of the demo is in no database, bundle, log, answer or backup; a text that is none is found in them by the same search", async () => {
  using folder = temporaryFolder();
  const data = join(folder.path, "demo");
  const port = await freePort();
  const [planted, control] = [text("planted"), text("control")];
  const search = new LeakSearch([planted, control]);
  const backups = join(folder.path, "backups");
  mkdirSync(backups);
  {
    await using demo = startPlantgate(["demo", "--data", data, "--port", String(port)], { cwd: folder.path });
    await until(
      () => demo.output.findLast((line) => /central [1-9]\d* msg\/s/.test(line)),
      (line) => line !== undefined,
    );
    const authorization = `Bearer ${readFileSync(join(data, "central", "admin.token"), "utf8").trim()}`;
    const get = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization }, signal: AbortSignal.timeout(5000) });
    const lyon = async () => ((await (await get("/v1/sites")).json()) as SitesAnswer).sites.find(({ name }) => name === "lyon");

    // the devices' password changes, and the one that the simulators have stays good; a flow's purpose says the control
    const valueFile = join(folder.path, "value.txt");
    writeFileSync(valueFile, planted);
    const rotate = ["secret", "rotate", "devices", "--site", "lyon", "--overlap", "1h", "--file", valueFile];
    await using rotated = startPlantgate(rotate, { cwd: folder.path });
    expect(await rotated.ended).toBe(0);
    const changed = join(folder.path, "assembly-plant.yaml");
    writeFileSync(
      changed,
      readFileSync(template, "utf8").replace(/What the warehouse picked.*/, () => JSON.stringify(control)),
    );
    await using push = startPlantgate(["push", "lyon", changed], { cwd: folder.path });
    expect(await push.ended).toBe(0);
    await until(lyon, (site) => site?.reportedRevision === 2);
    const uses = async () =>
      ((await (await get("/v1/secrets/devices/uses")).json()) as { uses: { site: string; version: number; held: boolean }[] })
        .uses;
    // the gateway has it, and works with it
    await until(uses, (all) => all.some(({ site, version, held }) => site === "lyon" && version === 2 && held));

    search.bytes("command lines and environments", Buffer.concat(processesOf(data)));
    search.bytes("the demo's output", Buffer.from(demo.output.join("\n")));
    for (const [path, answer] of await answersOf(get)) search.bytes(`GET ${path}`, answer);

    const ledger = new DatabaseSync(join(data, "central", "ledger.db"), { readOnly: true });
    await backup(ledger, join(backups, "ledger.db"));
    ledger.close();
    await demo.kill("SIGINT");
    expect(await demo.ended).toBe(0);
  }
  execFileSync("tar", ["-czf", join(backups, "central.tar.gz"), "-C", data, "central"], { stdio: "ignore" });
  // the reserve holds nothing, and much of it
  execFileSync("tar", ["-czf", join(backups, "lyon.tar.gz"), "--exclude=reserve", "-C", join(data, "gateways"), "lyon"], {
    stdio: "ignore",
  });
  cpSync(join(data, "gateways", "lyon"), join(backups, "lyon"), { recursive: true });
  search.folder("backups", backups);
  search.folder("the demo's folder", data);

  expect(search.findsOf(planted)).toEqual([]);
  expect(search.searchedBytes).toBeGreaterThan(10 * 1024 * 1024);
  const places = search.findsOf(control).map(({ place }) => place);
  const holds = (part: RegExp) => places.some((place) => part.test(place));
  expect(holds(/central\/ledger\.db:revisions/)).toBe(true);
  expect(holds(/gateways\/lyon\/agent/)).toBe(true);
  expect(holds(/^GET \/v1\/sites\/lyon\/diff/)).toBe(true);
  expect(holds(/backups\/ledger\.db:revisions/)).toBe(true);
  expect(holds(/backups\/(central|lyon)\.tar\.gz > inflated/)).toBe(true);
}, 600_000);

/** Command lines and environments of the processes that work in this folder. */
function processesOf(folder: string): Buffer[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`);
        return command.includes(folder) ? [command, readFileSync(`/proc/${pid}/environ`)] : [];
      } catch {
        return [];
      }
    });
}

/** What the API answers to every call that reads, as its own description has them. */
async function answersOf(get: (path: string) => Promise<Response>): Promise<[string, Buffer][]> {
  const { paths } = (await (await get("/v1/openapi.json")).json()) as { paths: Record<string, Record<string, unknown>> };
  const values: Record<string, readonly string[]> = {
    site: ["lyon"],
    name: ["devices", "lyon", "assembly-plant", "demo"],
    kind: ["Template", "Site", "template", "site", "secret"],
    revision: ["1", "2"],
  };
  const answers: [string, Buffer][] = [];
  for (const [path, methods] of Object.entries(paths)) {
    if (!("get" in methods)) continue;
    for (const filled of fill(path, values)) {
      try {
        const answer = await get(filled);
        answers.push([filled, Buffer.concat([Buffer.from(JSON.stringify([...answer.headers])), await bodyOf(answer)])]);
      } catch {
        // what never ends was read for as long as it was waited for
      }
    }
  }
  expect(answers.length).toBeGreaterThan(20);
  return answers;
}

async function bodyOf(answer: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of answer.body ?? []) chunks.push(chunk);
  } catch {
    // a stream of events goes on for ever
  }
  return Buffer.concat(chunks);
}

function fill(path: string, values: Record<string, readonly string[]>): string[] {
  if (path.endsWith("/diff")) return fill(`${path}?from=1&to=2`, values);
  const parameter = /\{(\w+)\}/.exec(path);
  if (!parameter) return [path];
  return (values[parameter[1] as string] ?? ["1"]).flatMap((value) => fill(path.replace(parameter[0], value), values));
}
