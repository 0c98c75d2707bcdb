import type { OpenDatabase } from "../../central/storage/database.ts";
import type { StorageTarget } from "../../central/storage/storage.ts";
import { watchedDatabase } from "./watched-database.ts";

/** Counts statements while it is armed, and ends the process, as by a power cut, before the one with the given number. */
export class Death {
  readonly #before: number;
  armed = false;
  statements = 0;

  constructor(before: number) {
    this.#before = before;
  }

  count(): void {
    if (this.armed && ++this.statements === this.#before) process.kill(process.pid, "SIGKILL");
  }
}

/** A storage whose statements are counted. On PostgreSQL those that are sent, of whichever connection. */
export async function dyingTarget(place: string, death: Death): Promise<StorageTarget> {
  if (!place.startsWith("postgres")) return { kind: "sqlite", file: place, openDatabase: counting(death) };
  const { Client } = (await import("pg")).default;
  const query = Client.prototype.query as (...args: unknown[]) => unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the client's own signature has a dozen overloads
  (Client.prototype as any).query = function counted(this: unknown, ...args: unknown[]) {
    death.count();
    return query.apply(this, args);
  };
  return { kind: "postgres", url: place };
}

function counting(death: Death): OpenDatabase {
  return watchedDatabase((_, { all, run }) => ({
    all(parameters) {
      death.count();
      return all(parameters);
    },
    run(parameters) {
      death.count();
      return run(parameters);
    },
  }));
}
