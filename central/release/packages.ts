import { createHash, randomUUID } from "node:crypto";
import type { Selectable } from "kysely";
import { type Clock, parsePackageName, releaseLimits, toInstant } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { type Actor, adminKeyName, may } from "../auth/actor.ts";
import { isSamePerson } from "../change/change-state.ts";
import { lockChanges } from "../change/record.ts";
import { ChangeRefused } from "../change/refused.ts";
import type { ReleasesAnswer, ReleaseView } from "../http/api/releases.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { beside } from "./beside.ts";
import { mostSites, type Ran, whereRan } from "./proven.ts";
import { bytesOf, type RoomDeps, requireRoom, requireRoomForChunk } from "./room.ts";
import { wantedBy } from "./wanted.ts";

export type PackageRow = Selectable<Schema["release_packages"]>;

/** What somebody is about to send. */
export interface NewPackage {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
  readonly signature: string;
}
export type Begun =
  /** `vouched`: it came by central's admin token, and is of whoever sends it now. */
  | { readonly kind: "here"; readonly vouched: boolean }
  /** `received`: so many chunks are here already, from an upload that broke off. */
  | { readonly kind: "begun"; readonly upload: string; readonly received: number };

const { chunkBytes } = releaseLimits;
/** What nobody goes on with is given up after two hours. */
const keptOpenMs = 2 * 3_600_000;

export interface PackagesDeps extends RoomDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  /** Central's own version; null: not known. */
  readonly version: string | null;
}

/**
 * Packages of gateways. They come and lie in chunks, so that any replica takes and gives any part of one, and no more than a chunk is ever in memory.
 * Central checks that what came is what was sent; whether it may be installed is judged in the plant, by its signature.
 */
export class Packages {
  readonly #deps: PackagesDeps;

  constructor(deps: PackagesDeps) {
    this.#deps = deps;
  }

  /** By version, the newest upload first; what is on its way; what all of it takes. */
  async list(): Promise<Omit<ReleasesAnswer, "sites">> {
    const { storage, clock, mostBytes, version: own } = this.#deps;
    const all = await storage.selectFrom("release_packages").selectAll().orderBy("added_at", "desc").orderBy("file").execute();
    const here = all.filter(({ added_at: at }) => at !== null);
    const under = all.filter(({ added_at: at, begun_at: moved }) => at === null && moved >= clock.now() - keptOpenMs);
    const counts = await storage
      .selectFrom("release_chunks")
      .select((eb) => ["upload", eb.fn.countAll<number>().as("chunks")])
      .where("upload", "in", ["", ...under.map(({ upload }) => upload)])
      .groupBy("upload")
      .execute();
    const ran = await whereRan(storage);
    const chunksOf = new Map(counts.map(({ upload, chunks }) => [upload, Number(chunks)]));
    return {
      central: { version: own },
      releases: [...Map.groupBy(here, ({ version }) => version)].map(([version, packages]) => ({
        version,
        beside: beside(version, own),
        packages: packages.map(toView),
        ran: ranOf(packages, ran),
      })),
      uploads: under.map(({ file, version, size, upload, added_by: by, begun_at: moved }) => ({
        ...{ upload, file, version, size, chunks: chunksOf.get(upload) ?? 0, by, movedAt: toInstant(moved) },
      })),
      room: { bytes: bytesOf([...here, ...under]), mostBytes },
    };
  }

  /** Begins, or goes on with what broke off. The same name with other content is refused: what others have read stays what it is. @throws ChangeRefused */
  async begin(actor: Actor, { file, size, sha256, signature }: NewPackage): Promise<Begun> {
    const { storage, clock } = this.#deps;
    const named = parsePackageName(file);
    if (!named) throw new ChangeRefused("invalid", `"${file}" is not the name of a gateway's package`);
    return storage.transaction().execute(async (tx): Promise<Begun> => {
      await lockChanges(tx);
      await giveUpOld(tx, clock.now());
      const known = await tx.selectFrom("release_packages").selectAll().where("file", "=", file).executeTakeFirst();
      const isSame = known?.sha256 === sha256 && known.size === size && known.signature === signature;
      if (known && known.added_at !== null) {
        if (isSame) return { kind: "here", vouched: await this.#vouch(tx, actor, known) };
        throw new ChangeRefused(
          "conflict",
          `${file} is here with other content; remove ${named.version}, or give it a new version`,
        );
      }
      if (known && isSame) {
        await this.#vouch(tx, actor, known);
        return { kind: "begun", upload: known.upload, received: await receivedOf(tx, known.upload) };
      }
      if (known) {
        requireOwn(actor, known);
        await drop(tx, [known]);
      }
      await requireRoom(tx, this.#deps, actor, size);
      const upload = randomUUID();
      const row = { file, size, sha256, signature, upload, version: named.version, platform: named.platform, kind: named.kind };
      await tx
        .insertInto("release_packages")
        .values({ ...row, begun_at: clock.now(), added_by: actor.name, added_at: null })
        .execute();
      // what another one has begun is gone for this
      if (known && !isSamePerson(known.added_by, actor.name)) await this.#noteDropped(tx, actor, known);
      return { kind: "begun", upload, received: 0 };
    });
  }

  /**
   * What was sent with central's admin token is nobody's: a person who sends the same bytes with the same signature stands for them from now on (P12). What a person
   * sent stays that person's, so that nobody who has approved it becomes its sender.
   */
  async #vouch(tx: StorageTransaction, actor: Actor, { file, version, sha256, added_by: by }: PackageRow): Promise<boolean> {
    if (actor.kind === "key" || !isSamePerson(by, adminKeyName)) return false;
    await tx.updateTable("release_packages").set({ added_by: actor.name }).where("file", "=", file).execute();
    await this.#deps.audit.append(tx, {
      actor: actor.name,
      action: "release.vouched",
      subject: `release/${version}`,
      detail: { file, sha256, before: by },
    });
    return true;
  }

  /** Keeps one chunk. What is here stays: it may be under judgement already. Durable on return. @throws ChangeRefused */
  async receive(upload: string, number: number, body: Uint8Array): Promise<void> {
    await this.#deps.storage.transaction().execute(async (tx) => {
      // first, so that whoever takes it away meanwhile leaves no chunk behind
      const row = await tx
        .updateTable("release_packages")
        .set({ begun_at: this.#deps.clock.now() })
        .where("upload", "=", upload)
        .where("added_at", "is", null)
        .returning("size")
        .executeTakeFirst();
      if (!row) throw new ChangeRefused("not-found", "there is no such upload under way; begin it again");
      const wanted = Math.min(chunkBytes, row.size - number * chunkBytes);
      if (body.length !== wanted)
        throw new ChangeRefused("invalid", `chunk ${number} has ${Math.max(0, wanted)} bytes, ${body.length} came`);
      await requireRoomForChunk(tx, this.#deps, body.length);
      const { numInsertedOrUpdatedRows: kept } = await tx
        .insertInto("release_chunks")
        .values({ upload, number, body })
        .onConflict((conflict) => conflict.columns(["upload", "number"]).doNothing())
        .executeTakeFirstOrThrow();
      if (kept === 0n && !isSameBytes(await chunkOf(tx, upload, number), body))
        throw new ChangeRefused("conflict", `chunk ${number} is here with other bytes; take the upload away and begin it again`);
    });
  }

  /** Checks that all of it came, and is what its sum says; from then on it is there for rollouts. @throws ChangeRefused */
  async complete(actor: Actor, upload: string): Promise<PackageRow> {
    const { storage, clock, audit } = this.#deps;
    const row = await storage.selectFrom("release_packages").selectAll().where("upload", "=", upload).executeTakeFirst();
    if (!row) throw new ChangeRefused("not-found", "there is no such upload under way; begin it again");
    if (row.added_at !== null) return row;
    const sum = createHash("sha256");
    for (let number = 0; number * chunkBytes < row.size; number++) {
      const body = await this.chunk(upload, number);
      if (!body) throw new ChangeRefused("conflict", `chunk ${number} has not come yet`);
      sum.update(body);
    }
    if (sum.digest("hex") !== row.sha256) {
      await storage.transaction().execute(async (tx) => {
        await lockChanges(tx);
        await drop(tx, [row]);
      });
      throw new ChangeRefused(
        "invalid",
        `what came of ${row.file} is not what its SHA-256 says; nothing of it is kept, send it again`,
      );
    }
    return storage.transaction().execute(async (tx) => {
      // whoever begins another one under its name, or gives it up, does that before or after
      await lockChanges(tx);
      const done = await tx
        .updateTable("release_packages")
        // it stays with who began it: that one said which bytes it has
        .set({ added_at: clock.now() })
        .where("upload", "=", upload)
        .where("added_at", "is", null)
        .returningAll()
        .executeTakeFirst();
      if (!done) {
        const other = await tx.selectFrom("release_packages").selectAll().where("upload", "=", upload).executeTakeFirst();
        if (other) return other;
        throw new ChangeRefused("conflict", "it was given up meanwhile; begin it again");
      }
      const { file, version, size, sha256 } = done;
      await audit.append(tx, {
        actor: actor.name,
        action: "release.added",
        subject: `release/${version}`,
        detail: { file, size, sha256 },
      });
      return done;
    });
  }

  /** Takes away what was begun and not ended. @throws ChangeRefused for what another one began, without a say in all environments */
  async drop(actor: Actor, upload: string): Promise<Pick<PackageRow, "file" | "version">> {
    const { storage } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const row = await tx
        .deleteFrom("release_packages")
        .where("upload", "=", upload)
        .where("added_at", "is", null)
        .returningAll()
        .executeTakeFirst();
      if (!row) throw new ChangeRefused("not-found", "there is no such upload under way");
      requireOwn(actor, row);
      await tx.deleteFrom("release_chunks").where("upload", "=", upload).execute();
      await this.#noteDropped(tx, actor, row);
      return { file: row.file, version: row.version };
    });
  }

  async #noteDropped(tx: StorageTransaction, actor: Actor, { file, version, added_by: by }: PackageRow): Promise<void> {
    await this.#deps.audit.append(tx, {
      actor: actor.name,
      action: "release.uploadDropped",
      subject: `release/${version}`,
      detail: { file, by },
    });
  }

  /** Takes a version away, with all of its packages. @throws ChangeRefused while something wants it */
  async remove(actor: Actor, version: string): Promise<void> {
    const { storage, audit } = this.#deps;
    await storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const rows = await tx.selectFrom("release_packages").selectAll().where("version", "=", version).execute();
      if (rows.length === 0) throw new ChangeRefused("not-found", `there is no release ${version}`);
      const wanted = await wantedBy(tx, version);
      if (wanted !== undefined) throw new ChangeRefused("conflict", `${version} is wanted: ${wanted}`);
      await drop(tx, rows);
      await audit.append(tx, {
        actor: actor.name,
        action: "release.removed",
        subject: `release/${version}`,
        detail: { files: rows.map(({ file }) => file) },
      });
    });
  }

  /** Of a package that is whole. */
  find(file: string): Promise<PackageRow | undefined> {
    const { storage } = this.#deps;
    return storage
      .selectFrom("release_packages")
      .selectAll()
      .where("file", "=", file)
      .where("added_at", "is not", null)
      .executeTakeFirst();
  }

  chunk(upload: string, number: number): Promise<Uint8Array | undefined> {
    return chunkOf(this.#deps.storage, upload, number);
  }
}

/** @throws ChangeRefused where somebody else began it, for whoever has no say in all environments */
function requireOwn(actor: Actor, { file, added_by: by }: PackageRow): void {
  if (isSamePerson(by, actor.name) || may(actor, "engineer", "*")) return;
  throw new ChangeRefused("not-allowed", `${by} began ${file}: that person takes it away, or an engineer of every environment`);
}

async function chunkOf(db: Storage | StorageTransaction, upload: string, number: number): Promise<Uint8Array | undefined> {
  const row = await db
    .selectFrom("release_chunks")
    .select("body")
    .where("upload", "=", upload)
    .where("number", "=", number)
    .executeTakeFirst();
  return row?.body;
}

function isSameBytes(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0;
}

/** By environment, all packages of a version together: a site takes one of them. */
function ranOf(own: readonly PackageRow[], ran: readonly Ran[]): ReleaseView["ran"] {
  const of = ran.filter((each) => own.some(({ file, sha256 }) => each.file === file && each.sha256 === sha256));
  return [...Map.groupBy(of, ({ environment }) => environment)].map(([environment, parts]) => ({
    environment,
    sites: [...Map.groupBy(parts, ({ file }) => file).values()].reduce((sum, each) => sum + mostSites(each), 0),
  }));
}

export function toView(row: PackageRow): ReleaseView["packages"][number] {
  const { file, platform, kind, size, sha256, added_by: addedBy, added_at: addedAt } = row;
  return { file, platform, kind, size, sha256, addedBy, addedAt: toInstant(addedAt ?? 0) };
}

/** Chunks that are here without a gap from the first on. */
async function receivedOf(tx: StorageTransaction, upload: string): Promise<number> {
  const rows = await tx.selectFrom("release_chunks").select("number").where("upload", "=", upload).orderBy("number").execute();
  const gap = rows.findIndex(({ number }, index) => number !== index);
  return gap === -1 ? rows.length : gap;
}

async function giveUpOld(tx: StorageTransaction, now: number): Promise<void> {
  const rows = await tx
    .selectFrom("release_packages")
    .select(["file", "upload"])
    .where("added_at", "is", null)
    .where("begun_at", "<", now - keptOpenMs)
    .execute();
  await drop(tx, rows);
}

async function drop(tx: StorageTransaction, rows: readonly Pick<PackageRow, "file" | "upload">[]): Promise<void> {
  for (const { file, upload } of rows) {
    // first, so that no chunk comes behind those that are taken away
    await tx.deleteFrom("release_packages").where("file", "=", file).where("upload", "=", upload).execute();
    await tx.deleteFrom("release_chunks").where("upload", "=", upload).execute();
  }
}
