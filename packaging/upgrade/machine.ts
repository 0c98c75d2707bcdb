import type { Clock } from "../../protocol/index.ts";
import type { Health } from "./records.ts";
import type { UnitState } from "./watch.ts";

/**
 * What an upgrade does to the machine, one call a step: a power cut comes between two of them, or amidst one that then happened or did not.
 * Tests pass one that is cut at any of them.
 */
export interface Machine extends Disk, Services {
  readonly clock: Clock;
}

export interface Disk {
  /** A small file of root's; undefined where there is none. */
  read(file: string): string | undefined;
  /** A file of the data folder, whose owner is not trusted: no link is followed below the folder, and so much is read. */
  readForeign(folder: string, path: readonly string[], maxBytes: number): Buffer | undefined;
  /** Takes a file of the data folder away, no link being followed. @returns whether there was anything */
  removeForeign(folder: string, path: readonly string[]): boolean;
  exists(path: string): boolean;
  /** Names in a folder; none where there is no folder. */
  names(folder: string): string[];
  /** Last part of what a link points to; undefined where there is none. */
  pointsTo(link: string): string | undefined;
  freeBytes(folder: string): number;
  /** Replaces a file whole, world-readable; flushed on return. */
  write(file: string, text: string): void;
  /** Replaces a link whole; flushed on return. */
  point(link: string, target: string): void;
  /** Flushed on return. */
  remove(file: string): void;
  /** Flushed on return. */
  rename(from: string, to: string): void;
  removeTree(folder: string): void;
  /** A folder that root alone may look into. */
  makeFolder(folder: string): void;
  /** What a package is copied to; root's alone. */
  writeBytes(file: string, bytes: Uint8Array): void;
  /** All of a tree is on the disk on return. */
  flushTree(folder: string): Promise<void>;
}

export interface Services {
  /**
   * Returns when it is ready, or when that was cancelled by somebody else.
   * @throws PlantgateError PEER_UNREACHABLE: it did not become ready, and why; PEER_REFUSED: nobody knows, as its supervisor does not answer or does not
   *   restart it
   */
  restart(unit: string): Promise<void>;
  /** Restarts it if it runs; does not wait. */
  tryRestart(unit: string): Promise<void>;
  /** Starts it, if there is such a one; does not wait. */
  startLater(unit: string): Promise<void>;
  look(unit: string): Promise<UnitState>;
  /** What the role's process answers; undefined where it does not. */
  health(): Promise<Health | undefined>;
  /** What a program prints on stdout. @throws PlantgateError PEER_REFUSED with what it said */
  run(program: string, args: readonly string[], limitMs?: number): Promise<string>;
  /** Bytes that a package takes when it is unpacked. */
  unpackedBytes(file: string, kind: PackageKind): Promise<number>;
  /** Puts a package's files below a folder that is new. */
  unpack(file: string, kind: PackageKind, folder: string): Promise<void>;
  /** The version of the package `plantgate-ROLE` that dpkg has installed, half or whole, as a release is named; undefined where it has none. */
  debianVersion(role: string): Promise<string | undefined>;
}

export type PackageKind = "deb" | "tar";
