import { open } from "node:fs/promises";
import Datastore from "nedb-promises";

/** What the agent remembers between starts. */
export interface AgentState {
  /** The revision that runs; 0: none. */
  readonly active: number;
  /** The revision that central wants. */
  readonly desired: number;
  /** Why this gateway may not speak to central any more, until a person decides (rule 5). */
  readonly fenced?: string;
}

/**
 * The agent's few documents, in nedb: last good bundles and state. nedb never flushes what it appends, so each write here flushes the
 * file before it returns (ADR 0003).
 */
export class AgentDocuments {
  readonly #store: Datastore<{ _id: string; jws?: string; state?: AgentState }>;
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
    this.#store = Datastore.create({ filename: file, autoload: false });
  }

  static async open(file: string): Promise<AgentDocuments> {
    const documents = new AgentDocuments(file);
    await documents.#store.load();
    return documents;
  }

  async state(): Promise<AgentState> {
    return (await this.#store.findOne({ _id: "state" }))?.state ?? { active: 0, desired: 0 };
  }

  async saveState(state: AgentState): Promise<void> {
    await this.#put({ _id: "state", state });
  }

  /** A person decided that this gateway is the real one. */
  async unfence(): Promise<void> {
    const { fenced: _, ...state } = await this.state();
    await this.saveState(state);
  }

  async bundle(revision: number): Promise<string | undefined> {
    return (await this.#store.findOne({ _id: `bundle/${revision}` }))?.jws;
  }

  /** Keeps a bundle; all but this one and `keep` are removed. */
  async saveBundle(revision: number, jws: string, keep: number): Promise<void> {
    await this.#put({ _id: `bundle/${revision}`, jws });
    await this.#store.deleteMany({ _id: { $nin: ["state", `bundle/${revision}`, `bundle/${keep}`] } }, { multi: true });
    await this.#flush();
  }

  async #put(document: { _id: string; jws?: string; state?: AgentState }): Promise<void> {
    await this.#store.updateOne({ _id: document._id }, document, { upsert: true });
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const handle = await open(this.#file, "r+");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
