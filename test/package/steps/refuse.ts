import { versions } from "../releases.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { bringFile } from "../ways.ts";

/** What is not signed by a key that this machine trusts does not come in, and disturbs nothing. */
export async function refuse({ gateway, machine, releases, step, way }: Stage): Promise<void> {
  await step("a tampered, an unsigned and a foreign package are refused", async () => {
    const before = await gateway.unit();
    const spoiled = releases.spoiled(way.kind);
    for (const [how, file] of Object.entries(spoiled)) {
      const name = bringFile(machine, file, how !== "unsigned");
      if (how === "unsigned") await machine.must(["rm", "-f", `${name}.sig`]);
      const { code, out, err } = await gateway.plantgate("upgrade", name);
      expect(code === 1, `the ${how} package is refused`, `${code}: ${out}${err}`);
      expect(/signature|signed/.test(err), "it says that it is the signature", err);
    }
    expect(gateway.current() === versions.base && !gateway.isOnTrial(), "nothing was begun");
    const after = await gateway.unit();
    expect(after.invocation === before.invocation, "the gateway was not disturbed", { before, after });
  });
}
