import { PlantgateError } from "../../protocol/index.ts";

/**
 * What tells the database behind a connection from another one of the same name: the cluster; its timeline, which is another one after a
 * standby took over or a recovery to a point in time; the database, which is another one once it was dropped and restored. A standby
 * answers with an error.
 */
export const serverIdentity = `
  SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS server`;

/**
 * Whether the ledger behind the storage is still the one that was opened. Once it is not, what this process knows of it (texts, numbers,
 * the incarnation that its answers name) is of another one: nothing is asked of it any more, and the process has to be started again.
 */
export class LedgerGate {
  readonly #failed = Promise.withResolvers<never>();
  #server: string | undefined;
  #failure: PlantgateError | undefined;

  constructor() {
    // whoever waits for it hears of it
    this.#failed.promise.catch(() => {});
  }

  /** Rejects with LEDGER_REPLACED once it is shut. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  get isShut(): boolean {
    return this.#failure !== undefined;
  }

  /** Lets a new connection in: the first one says which database it is. @throws PlantgateError LEDGER_REPLACED for another one */
  admit(server: string): void {
    this.check();
    this.#server ??= server;
    if (server !== this.#server)
      throw this.shut(`the database is ${server} now, ${this.#server} before: another server has taken over, or it was restored`);
  }

  /** @throws PlantgateError LEDGER_REPLACED once it is shut */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  shut(reason: string): PlantgateError {
    this.#failure ??= new PlantgateError("LEDGER_REPLACED", `${reason}; central has to be started again`);
    this.#failed.reject(this.#failure);
    return this.#failure;
  }
}
