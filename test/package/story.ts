import { statSync } from "node:fs";
import { join } from "node:path";
import { CentralOutside, type CentralSide } from "./central.ts";
import { explain, type Witness } from "./explain.ts";
import { type Figures, mebibytes } from "./figures.ts";
import { InstalledGateway } from "./gateway.ts";
import { InstalledCentral } from "./installed-central.ts";
import { Machine } from "./machine.ts";
import { openNetwork } from "./network.ts";
import { type Kind, type Releases, type Role, type Version, versions } from "./releases.ts";
import { unpackRoot } from "./root.ts";
import { backUpByTimer } from "./steps/central/backup.ts";
import { installCentral } from "./steps/central/install.ts";
import { loseCentral, purgeCentral } from "./steps/central/lose.ts";
import { runOnPostgres } from "./steps/central/postgres.ts";
import { upgradeCentral } from "./steps/central/upgrade.ts";
import { installBadOne } from "./steps/direct.ts";
import { enroll } from "./steps/enroll.ts";
import { install } from "./steps/install.ts";
import { measure } from "./steps/measure.ts";
import { survivePowerCut } from "./steps/power-cut.ts";
import { refuse } from "./steps/refuse.ts";
import { remove } from "./steps/remove.ts";
import { rollOut } from "./steps/rollout.ts";
import { upgrade } from "./steps/upgrade.ts";
import { openSteps, type Steps } from "./steps.ts";
import { Warehouse } from "./warehouse.ts";
import { type Way, wayOf } from "./ways.ts";

/** All that a step may touch. */
export interface Stage extends Steps {
  readonly machine: Machine;
  readonly gateway: InstalledGateway;
  readonly central: CentralSide;
  readonly warehouse: Warehouse;
  readonly way: Way;
  readonly releases: Releases;
  /** Waits for a version that is made meanwhile. */
  readonly made: (which: Version, role?: Role) => Promise<void>;
  /** How long a new version is watched. */
  readonly watch: string;
}

/** Where central is installed, too. */
export interface CentralStage extends Stage {
  readonly installed: InstalledCentral;
}

export interface StoryOptions {
  readonly kind: Kind;
  /** Its own: it need not be there. */
  readonly folder: string;
  /** Whose days are told; the other one is there, and nothing happens to it. Central is installed where the package is Debian's. */
  readonly of: { readonly gateway: boolean; readonly central: boolean };
  readonly releases: Releases;
  /** Installations are measured: nothing else of this test runs beside one. */
  readonly alone: <Value>(run: () => Promise<Value>) => Promise<Value>;
  readonly watch: string;
  /** Whether central's unit is tried with PostgreSQL, too. */
  readonly postgres: boolean;
}

/** One machine's life with Plantgate, from its first to its last day; with the Debian package also its central's. */
export async function tellStory(options: StoryOptions): Promise<Figures> {
  const { kind, folder, of, releases, alone, watch } = options;
  const steps = openSteps(kind);
  await using stack = new AsyncDisposableStack();
  const installed = kind === "deb" ? stack.use(await InstalledCentral.open(join(folder, "control-room"))) : undefined;
  const network = installed?.plant ?? stack.use(await openNetwork());
  const machine = stack.use(new Machine(join(folder, "plant"), network));
  const machines = installed ? [installed.machine, machine] : [machine];
  await steps.step("a fresh Debian 12", () => Promise.all(machines.map(({ folder: each }) => unpackRoot(each))));
  const witnesses: Witness[] = [];
  const startCentral = async (): Promise<CentralSide> => {
    const outside = stack.use(await CentralOutside.start(network.outside, folder));
    witnesses.push(outside);
    return outside.side;
  };
  try {
    await steps.step("it boots", () => Promise.all(machines.map((each) => each.boot())));
    const centralInstalled = installed && (await alone(() => installCentral({ ...steps, installed, releases })));
    if (installed && options.postgres) await runOnPostgres({ ...steps, installed, releases });
    const central = installed?.side ?? (await steps.step("central starts outside", startCentral));
    const warehouse = stack.use(new Warehouse(network));
    const gateway = new InstalledGateway(machine);
    const way = wayOf(kind, machine, releases);
    const made: Stage["made"] = (which, role) =>
      steps.step(`${role ?? "gateway"} ${versions[which]} is made`, () => releases.made(kind, which, role));
    const stage: Stage = { ...steps, machine, gateway, central, warehouse, way, releases, made, watch };
    const gatewayInstalled = await alone(() => install(stage));
    // it had nothing to do meanwhile
    const idleRssMiB = installed ? mebibytes((await installed.rssKiB()) * 1024) : 0;
    await enroll(stage);
    const measured = of.gateway ? await measure(stage) : {};
    const upgraded = of.gateway ? await liveOn(stage) : {};
    const centralLived = of.central && installed ? await centralLivesOn({ ...stage, installed }) : {};
    if (of.gateway) await remove(stage);
    if (of.central && installed) await purgeCentral({ ...stage, installed });
    const packageMiB = mebibytes(statSync(releases.file(kind, "base")).size);
    const figures = { packageMiB, ...gatewayInstalled, ...measured, ...upgraded };
    return centralInstalled ? { ...figures, central: { ...centralInstalled, idleRssMiB, ...centralLived } } : figures;
  } catch (error) {
    throw await explain(error, machines, witnesses);
  }
}

/** From the gateway's first day to its last but one. */
async function liveOn(stage: Stage): Promise<Pick<Figures, "backlogKept" | "rolledBackSeconds">> {
  await stage.made("next");
  await refuse(stage);
  const upgraded = await upgrade(stage);
  // whoever began it, what the updater does with it is the same: once is enough
  if (stage.way.kind === "tar") await rollOut(stage);
  await stage.made("last");
  await survivePowerCut(stage);
  await installBadOne(stage);
  return upgraded;
}

/** Its gateway goes on all the time, and nothing of what it took is lost. */
async function centralLivesOn(stage: CentralStage): Promise<{ rolledBackSeconds: number; caughtUpSeconds: number }> {
  const { rolledBackSeconds } = await upgradeCentral(stage);
  const backup = await backUpByTimer(stage);
  const { caughtUpSeconds } = await loseCentral(stage, backup);
  return { rolledBackSeconds, caughtUpSeconds };
}
