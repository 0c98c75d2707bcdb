import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { type Ended, plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { signInAs } from "../../support/people.ts";
import { siteFile, templateFile } from "../../support/policy-documents.ts";

type Run = (...args: string[]) => Promise<Ended>;
const strategy = { gate: { window: "1ms", settle: "1ms" }, unreachable: { after: "1ms" } };

/** A folder of configuration, and the command line of somebody who has it. */
async function openDesk(central: TestCentral, name: string, folder: string): Promise<Run> {
  const person = await signInAs(central, name, { roles: ["engineer", "approver"] });
  const made = await person.call<{ token: string }>("POST", "/v1/tokens", {
    purpose: "desk",
    roles: ["engineer", "approver"],
    lifeSeconds: 3600,
  });
  const file = join(folder, `${name}.token`);
  writeFileSync(file, made.body.token);
  const connection = ["--central", central.url, "--token-file", file];
  return (...args) => plantgateHere([...args, ...connection], { cwd: folder });
}

function writePlant(folder: string, purpose: string): void {
  const template = templateFile({
    flow: {
      purpose,
      from: { connector: "scheduler", webhook: "/orders" },
      as: "production-order.released",
      map: "payload",
      to: [{ central: true }],
      examples: [{ given: "../examples/in.json", expect: "../examples/refused.json" }],
    },
  });
  const site = siteFile("lyon", { environment: "test" }, { grants: { send: ["production-order.released"] } });
  for (const inner of ["plant/templates", "plant/examples"]) mkdirSync(join(folder, inner), { recursive: true });
  writeFileSync(join(folder, "plant/templates/plant.json"), template.text);
  writeFileSync(join(folder, "plant/lyon.yaml"), `# the plant in Lyon\n${site.text}\n`);
  writeFileSync(join(folder, "plant/examples/in.json"), "{}");
  writeFileSync(join(folder, "plant/examples/refused.json"), '{ "refused": "INPUT_INVALID" }');
}

it("a folder is compared, written as a change, read, approved and listed from the command line", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  await central.addSite("lyon");
  const ada = await openDesk(central, "ada", folder.path);
  const ben = await openDesk(central, "ben", folder.path);
  writePlant(folder.path, "first");

  const before = await ada("diff", "-f", "plant", "--environment", "test");
  expect(before).toMatchObject({ code: 1, err: "" });
  expect(before.out).toContain("+++ Site/lyon (here)");
  expect(before.out).toContain("ok Template/plant orders: ../examples/in.json");
  expect(before.out).toContain("site lyon");

  const applied = await ada("apply", "-f", "plant", "--environment", "test", "--title", "The first one", "-o", "json");
  expect(applied).toMatchObject({ code: 0, err: "" });
  const { number, digest } = JSON.parse(applied.out) as { number: number; digest: string };
  expect(number).toBe(1);
  expect((await central.admin("PUT", "/v1/changes/1", { version: 1, strategy })).status).toBe(403);
  const person = await signInAs(central, "carl", { roles: ["engineer"] });
  const edited = await person.call<{ digest: string }>("PUT", "/v1/changes/1", { version: 1, strategy });
  expect(edited.body.digest).not.toBe(digest);

  expect(await ada("change", "submit", "1")).toMatchObject({ code: 0, out: expect.stringContaining("state        review") });
  expect(await ada("approve", "1")).toMatchObject({ code: 1, err: expect.stringContaining("you are its author") });
  expect(await ben("approve", "1", "--digest", digest)).toMatchObject({
    code: 1,
    err: expect.stringContaining("not what was read"),
  });
  expect(await ben("change", "comment", "1", "looks right")).toMatchObject({ code: 0 });
  expect(await ben("approve", "1", "--digest", edited.body.digest.slice(0, 12))).toMatchObject({ code: 0 });
  await expect.poll(async () => (await ada("change", "show", "1")).out).toContain("state        done");

  expect((await ada("get", "changes", "--environment", "test")).out).toContain("The first one");
  expect((await ada("get", "documents", "-o", "yaml")).out).toContain("test: 1");
  expect((await ada("get", "Template/plant")).out).toContain("ada");
  expect((await ada("get", "Site/lyon@1")).out).toContain("# the plant in Lyon");
  expect((await ada("get", "sites")).out).toContain("lyon");
  expect(await ada("get", "Template/plant@9")).toMatchObject({ code: 1, err: expect.stringContaining("no revision 9") });
  expect(await ada("get", "nothing")).toMatchObject({ code: 2 });

  expect(await ada("diff", "-f", "plant", "--environment", "test")).toMatchObject({ code: 0 });
  writePlant(folder.path, "second");
  const diff = await ada("diff", "-f", "plant/templates/plant.json", "--environment", "test");
  expect(diff.code).toBe(1);
  expect(diff.out).toContain('- flows.orders.purpose: "first"\n+ flows.orders.purpose: "second"');
});

it("problems are printed one a line, and nothing is submitted", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  const ada = await openDesk(central, "ada", folder.path);
  writeFileSync(join(folder.path, "lyon.yaml"), siteFile("lyon", { environment: "test" }, { timeZone: "Nowhere" }).text);
  writeFileSync(join(folder.path, "none.yaml"), "a: [");
  const submitted = await ada("apply", "-f", "lyon.yaml", "--environment", "test", "--title", "wrong", "--submit");
  expect(submitted.code).toBe(1);
  expect(submitted.err).toMatch(/Site\/lyon:1:\d+ spec\.timeZone: "Nowhere" is not an IANA time zone/);
  const none = await ada("apply", "-f", "none.yaml", "--environment", "test", "--title", "none");
  expect(none).toMatchObject({ code: 1, err: expect.stringContaining("none.yaml:1:") });
  expect(await ada("apply", "-f", "missing.yaml", "--environment", "test", "--title", "x")).toMatchObject({
    code: 1,
    err: expect.stringContaining("missing.yaml cannot be read"),
  });
  expect(await ada("apply", "-f", "lyon.yaml")).toMatchObject({ code: 1, err: expect.stringContaining("--environment") });
});
