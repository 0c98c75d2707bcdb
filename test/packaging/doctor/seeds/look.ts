import type { CheckFinding } from "../../../../protocol/index.ts";
import type { Plan } from "../plant/documents.ts";
import type { Host } from "../plant/host.ts";
import type { Plant } from "../plant/plant.ts";
import type { Seed } from "./seed.ts";

const titleOf = ({ level, check, subject }: CheckFinding): string =>
  [level, check, subject].filter((each) => each !== undefined).join(" ");

/** Sows all, looks, and mends. @returns what is not as it should be: missed, named wrongly, or named beside them */
export async function judge<On extends Host & Partial<Pick<Plant, "configure">>>(
  machine: On,
  set: readonly Seed<On>[],
  { of = "installed", isLast = false }: { of?: "installed" | "folder"; isLast?: boolean } = {},
): Promise<string[]> {
  const plans = set.flatMap((seed) => (seed.plan ? [seed.plan(machine)] : []));
  const sown: Seed<On>[] = [];
  const wrong: string[] = [];
  try {
    if (plans.length > 0) await machine.configure?.(Object.assign({ watch: "2h" }, ...plans) as Partial<Plan>);
    for (const seed of set.toSorted((one, other) => place(one) - place(other))) {
      sown.push(seed);
      await seed.sow?.(machine);
    }
    const { code, named } = await machine.doctor({ env: clockOf(machine, set), of });
    const left = [...named];
    for (const seed of set) {
      const title = typeof seed.named === "string" ? seed.named : seed.named(machine);
      const at = left.findIndex((each) => titleOf(each) === title && seed.says.test(`${each.seen} ${each.advice}`));
      if (at === -1) wrong.push(`missed: ${seed.name} (${title} ${seed.says})`);
      else left.splice(at, 1);
    }
    for (const each of left) wrong.push(`beside: ${titleOf(each)}: ${each.seen}; ${each.advice}`);
    const expected = named.some(({ level }) => level === "fault") ? 1 : 0;
    if (code !== expected) wrong.push(`exit code ${code}`);
  } finally {
    for (const seed of sown.toReversed()) await seed.mend?.(machine);
    machine.clock.jump(0);
    if (plans.length > 0) await machine.configure?.();
    if (!isLast) await machine.recover();
  }
  return wrong;
}

function place({ before }: Pick<Seed, "before">): number {
  return ["restart", "stop", undefined].indexOf(before);
}

function clockOf(machine: Host, set: readonly Pick<Seed, "clockSeconds">[]): Record<string, string> {
  const seconds = set.find((seed) => seed.clockSeconds !== undefined)?.clockSeconds;
  if (seconds === undefined) return {};
  machine.clock.jump(seconds);
  return machine.clock.env;
}
