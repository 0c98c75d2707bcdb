import { chmodSync, chownSync, existsSync, lstatSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Plan } from "../plant/documents.ts";
import type { Host } from "../plant/host.ts";
import type { Plant } from "../plant/plant.ts";

/** Something that is wrong with a machine, and what the doctor has to say of it: one finding, and no other. */
export interface Seed<On extends Host = Plant> {
  readonly name: string;
  /** `level check subject`, as it is named. */
  readonly named: string | ((machine: On) => string);
  /** In what was seen, or in what to do. */
  readonly says: RegExp;
  /** What it takes away or occupies: no other of a set takes or needs that. */
  readonly takes: readonly string[];
  /** What has to be in order for it to be seen. */
  readonly needs?: readonly string[];
  /** One of them has to be in order. */
  readonly needsOne?: readonly string[];
  /** Only there where a package is installed. */
  readonly isOfPackage?: true;
  /** Nothing runs then, which is a seed of its own ({@link stoppedSeed}). */
  readonly whileStopped?: true;
  /** Hardly anything else can be looked at, or changed, then. */
  readonly isAlone?: true;
  /** Sown before the others: it has what runs started anew (`restart`), or stopped (`stop`). */
  readonly before?: "restart" | "stop";
  /** The doctor's clock beside the true time. */
  readonly clockSeconds?: number;
  /** By the configuration that central sends. */
  plan?(machine: On): Partial<Plan>;
  sow?(machine: On): Promise<unknown> | unknown;
  mend?(machine: On): Promise<unknown> | unknown;
}

export function areCompatible(one: Pick<Seed, "takes" | "needs">, other: Pick<Seed, "takes" | "needs">): boolean {
  const meet = (left: readonly string[], right: readonly string[] = []): boolean => left.some((each) => right.includes(each));
  return !(meet(one.takes, [...other.takes, ...(other.needs ?? [])]) || meet(other.takes, one.needs));
}

/** Whether each of a set can be seen beside all others. */
export function isVisible({ needsOne }: Pick<Seed, "needsOne">, set: readonly Pick<Seed, "takes">[]): boolean {
  return needsOne === undefined || needsOne.some((each) => !set.some(({ takes }) => takes.includes(each)));
}

/** The seed beside which those can be sown that need nobody to have a file open. */
export const stoppedSeed = "it is stopped";

interface Kept {
  readonly content: Buffer | undefined;
  readonly mode: number;
  readonly uid: number;
}

/** A file as it was, to be put back: content, mode and owner. */
export function keep(file: string): Kept {
  const { mode, uid } = lstatSync(file);
  return { content: lstatSync(file).isFile() ? readFileSync(file) : undefined, mode, uid };
}

export function putBack(file: string, { content, mode, uid }: Kept): void {
  if (content !== undefined) {
    // in place where it is there: who has it open goes on with it
    if (existsSync(file)) chmodSync(file, 0o600);
    writeFileSync(file, content);
  }
  chmodSync(file, mode & 0o7777);
  chownSync(file, uid, uid);
}

/** Sows by a change of one file, or of its mode or owner; mends by putting it back. */
export function changing(
  path: (machine: Host) => string,
  change: (file: string, text: string) => void,
): Pick<Required<Seed<Host>>, "sow" | "mend"> {
  let kept: Kept | undefined;
  return {
    sow: (plant) => {
      kept = keep(path(plant));
      change(path(plant), kept.content?.toString() ?? "");
    },
    mend: (plant) => {
      if (kept) putBack(path(plant), kept);
    },
  };
}

/** Of a file that is not there on a healthy machine. */
export function adding(
  path: (machine: Host) => string,
  content: string | (() => string),
  mode = 0o600,
): Pick<Required<Seed<Host>>, "sow" | "mend"> {
  return {
    sow: (plant) => {
      writeFileSync(path(plant), typeof content === "string" ? content : content(), { mode });
      chmodSync(path(plant), mode);
    },
    mend: (plant) => rmSync(path(plant), { force: true }),
  };
}

export const inData =
  (path: string) =>
  (machine: Host): string =>
    machine.file(path);

export const replace =
  (next: string | ((text: string) => string)) =>
  (file: string, text: string): void =>
    writeFileSync(file, typeof next === "string" ? next : next(text));

export const merge = (more: object) => replace((text) => JSON.stringify({ ...(JSON.parse(text) as object), ...more }));

export const mode =
  (bits: number) =>
  (file: string): void =>
    chmodSync(file, bits);

export const owner =
  (uid: number) =>
  (file: string): void =>
    chownSync(file, uid, uid);

export const remove = (file: string): void => rmSync(file);
