import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { validate } from "../../../packaging/cli/validate.ts";

const folder = mkdtempSync(join(tmpdir(), "plantgate-validate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const demo = (name: string): string => join(import.meta.dirname, "../../../packaging/demo/config", name);

async function run(...files: string[]): Promise<{ code: number; printed: string }> {
  let printed = "";
  const code = await validate(files, (text) => {
    printed += text;
  });
  return { code, printed };
}

describe("plantgate validate", () => {
  it("says what it judged, and that all is well", async () => {
    const { code, printed } = await run(demo("assembly-plant.yaml"), demo("odoo-hq.yaml"), demo("sites/lyon.yaml"));
    expect(printed).toBe(
      "Template assembly-plant: 9 flows, 4 connectors\nTemplate odoo-hq: 6 flows, 1 connector\nSite lyon: template assembly-plant\nOK\n",
    );
    expect(code).toBe(0);
  });

  it("prints a problem as a compiler would, with a caret under it", async () => {
    const file = join(folder, "bad.yaml");
    writeFileSync(file, "apiVersion: plantgate/v1\nkind: Template\nmetadata:\n  name: bad\n  ownr: x\n  purpose: p\nspec: {}\n");
    const { code, printed } = await run(file);
    expect(code).toBe(1);
    expect(printed).toContain(`${file}:5:3 metadata.ownr: unknown key "ownr"; did you mean "owner"?\n    ownr: x\n    ^\n`);
    expect(printed).toMatch(/\n1 problem\n$/);
  });

  it("judges policies and secrets, prints a warning as one, and ends well with it", async () => {
    const about = "metadata: { name: N, owner: o@example.com, purpose: p }";
    const file = join(folder, "policies.yaml");
    const policy = `apiVersion: plantgate/v1\nkind: Policy\n${about.replace("N", "eu")}\nspec: { selector: { labels: { region: us } }, logLevel: warn }\n`;
    const secret = `apiVersion: plantgate/v1\nkind: Secret\n${about.replace("N", "wms")}\nspec: { rotate: { every: 90d } }\n`;
    writeFileSync(file, `${policy}---\n${secret}`);
    const { code, printed } = await run(demo("assembly-plant.yaml"), demo("sites/lyon.yaml"), file);
    expect(printed).toContain(`${file}:4:39 spec.selector.labels.region: warning: no site has region=us; there is eu\n`);
    expect(printed).toMatch(/\nPolicy eu: region=us\nSecret wms: every 90d\nOK\n$/);
    expect(code).toBe(0);
  });

  it("prints nothing of a line that may hold a secret", async () => {
    const file = join(folder, "secret.yaml");
    const about = "apiVersion: plantgate/v1\nkind: Secret\nmetadata: { name: wms, owner: o@example.com, purpose: p }\n";
    writeFileSync(file, `${about}spec:\n  value: hunter2-hunter2\n`);
    const { code, printed } = await run(file);
    expect(code).toBe(1);
    expect(printed).toContain(`${file}:5:3 spec.value: a secret's value never stands in a document`);
    expect(printed).not.toContain("hunter2");
    for (const spec of ["spec:\n  value: 'hunter2\n", "spec:\n  value: a\n  value: hunter2\n", "spec: {{ hunter2\n"]) {
      writeFileSync(file, about + spec);
      const broken = await run(file);
      expect(broken.code).toBe(1);
      expect(broken.printed).not.toContain("hunter2");
    }
  });

  it("says which file it cannot read", async () => {
    const { code, printed } = await run(join(folder, "absent.yaml"));
    expect(code).toBe(2);
    expect(printed).toContain("absent.yaml: cannot be read");
  });
});
