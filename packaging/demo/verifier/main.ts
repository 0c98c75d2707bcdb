import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readErp } from "./erp-file.ts";
import { type Finding, isClean, judge, type Verdict } from "./judge.ts";
import { readLedger } from "./ledger.ts";
import { runPlan } from "./run-plan.ts";
import { readPlant } from "./simulator-files.ts";

/**
 * `node packaging/demo/verifier/main.ts --plan run.json --central URL --token-file FILE [--json]`: judges a run by the simulators' own files
 * and by what central's API answers, and by nothing else. Exit code 0: nothing lost, doubled or out of order. 1: findings, each with what and
 * where. 2: it could not judge.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      plan: { type: "string" },
      central: { type: "string" },
      "token-file": { type: "string" },
      json: { type: "boolean" },
    },
  });
  if (values.plan === undefined || values.central === undefined || values["token-file"] === undefined) {
    process.stderr.write("verifier: give --plan FILE --central URL --token-file FILE\n");
    return 2;
  }
  const plan = runPlan.parse(JSON.parse(readFileSync(values.plan, "utf8")));
  const token = readFileSync(values["token-file"], "utf8").trim();
  // the ledger last: what the files tell of was sent before it is read
  const erp = await readErp(plan);
  const plants = [];
  for (const plant of plan.plants) plants.push(await readPlant(plant, plan.pressItems, plan.erp.site));
  const ledger = await readLedger(values.central, token);
  const verdict = judge({
    sent: [...erp.sent, ...plants.flatMap(({ sent }) => sent)],
    recorded: ledger.recorded,
    effects: [...erp.effects, ...plants.flatMap(({ effects }) => effects)],
    samples: {
      accepted: plants.flatMap(({ accepted }) => accepted),
      set: plants.flatMap(({ set }) => set),
      recorded: ledger.samples,
      gaps: ledger.gaps,
      ...(plan.until === undefined ? {} : { until: plan.until }),
    },
  });
  process.stdout.write(describe(verdict));
  if (values.json) process.stdout.write(`${JSON.stringify({ business: verdict.business, samples: verdict.samples })}\n`);
  return isClean(verdict) ? 0 : 1;
}

const shown = 20;

function describe({ business, samples, open, findings }: Verdict): string {
  const rows: [string, string | number, string][] = [
    ["business messages sent by the systems", business.sent, open > 0 ? `${open} still with their senders` : ""],
    ["  recorded at central", business.recorded, ""],
    ["  effects at their final receivers", business.delivered, ""],
    ["  lost", business.lost, ""],
    ["  duplicates", business.duplicates, ""],
    ["  reordered", business.reordered, ""],
    ["samples accepted", samples.accepted, ""],
    ["  recorded at central", samples.recorded, ""],
    ["  lost", samples.lost, ""],
    ["  interruptions of sampling on record", samples.gaps, ""],
  ];
  const lines = rows.map(([name, value, note]) => `${name.padEnd(40)} ${String(value).padStart(8)}  ${note}`.trimEnd());
  const told = findings
    .slice(0, shown)
    .map(({ kind, what, where, why }: Finding) => `${kind.toUpperCase()}  ${what}  at ${where}: ${why}`);
  if (findings.length > shown) told.push(`… and ${findings.length - shown} more findings`);
  return `${[...lines, ...told].join("\n")}\n`;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`verifier: ${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});
