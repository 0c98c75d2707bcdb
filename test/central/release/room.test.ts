import { sql } from "kysely";
import { expect, it } from "vitest";
import { Audit } from "../../../central/audit/audit.ts";
import { type Begun, type NewPackage, Packages } from "../../../central/release/packages.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { systemClock } from "../../../protocol/index.ts";
import { eventually } from "../../support/central.ts";
import { makePackage } from "../../support/releases.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

const emil = { kind: "user", name: "emil", roles: ["engineer"], environments: ["*"] } as const;
const deb = "plantgate-gateway_0.2.0_amd64.deb";
const hasPostgres = (await storages()).includes("postgres");

it.skipIf(!hasPostgres)("an upload that is given up leaves no chunk behind, also one that comes at that moment", async () => {
  await using own = await openTestStorage("postgres");
  const [storage, other] = [await openStorage(own.target), await openStorage(own.target)];
  const packages = new Packages({ storage, clock: systemClock, audit: new Audit(systemClock), mostBytes: 1e9, version: null });
  const first = makePackage(deb);
  const begun = await packages.begin(emil, first);
  if (begun.kind !== "begun") throw new Error(begun.kind);
  let again: Promise<Begun> | undefined;
  // another replica takes a chunk, and is not done with it
  await other.transaction().execute(async (tx) => {
    await tx.updateTable("release_packages").set({ begun_at: 1 }).where("upload", "=", begun.upload).execute();
    await tx.insertInto("release_chunks").values({ upload: begun.upload, number: 0, body: first.bytes }).execute();
    again = packages.begin(emil, makePackage(deb));
    await eventually(
      () => sql<{ many: number }>`SELECT count(*)::int AS many FROM pg_locks WHERE NOT granted`.execute(other),
      ({ rows }) => (rows[0]?.many ?? 0) > 0,
    );
  });
  await again;
  const left = await storage.selectFrom("release_chunks").select("upload").execute();
  await Promise.all([storage.destroy(), other.destroy()]);
  expect(left).toEqual([]);
});

const mebibyte = 1024 ** 2;

/** Packages in a ledger on a disk of 1 GiB, of which 32 MiB stay for what plants send. */
async function onDisk(freeBytes: number) {
  const own = await openTestStorage("sqlite");
  const storage = await openStorage(own.target);
  const disk = { freeBytes, sizeBytes: 1024 ** 3 };
  const deps = { storage, clock: systemClock, audit: new Audit(systemClock), mostBytes: 1e9, version: null };
  return {
    disk,
    packages: new Packages({ ...deps, disk: () => disk }),
    async [Symbol.asyncDispose]() {
      await storage.destroy();
      await own[Symbol.asyncDispose]();
    },
  };
}
const begin = async (packages: Packages, made: NewPackage): Promise<string> => {
  const begun = await packages.begin(emil, made);
  if (begun.kind !== "begun") throw new Error(begun.kind);
  return begun.upload;
};
const debOf = (version: string) => makePackage(`plantgate-gateway_${version}_amd64.deb`, 4 * mebibyte);
const chunk = ({ bytes }: { readonly bytes: Buffer }, number: number) =>
  bytes.subarray(number * mebibyte, (number + 1) * mebibyte);

it("is not begun where the ledger's disk needs the room for what plants send", async () => {
  await using ledger = await onDisk(38 * mebibyte);
  const large = debOf("0.2.0");
  await expect(begin(ledger.packages, large)).rejects.toThrow(
    "the ledger's disk has 38 MiB free; this package may take 8 of them, and 32 stay for what plants send: make room there, or remove a version that nothing wants (plantgate release list, plantgate release remove VERSION), whose place it takes",
  );
  ledger.disk.freeBytes += 2 * mebibyte;
  await begin(ledger.packages, large);
});

it("is not begun where those on their way have yet to take the room", async () => {
  await using ledger = await onDisk(46 * mebibyte);
  const { packages } = ledger;
  const first = debOf("0.2.0");
  const upload = await begin(packages, first);
  const second = debOf("0.3.0");
  await expect(begin(packages, second)).rejects.toThrow(
    "the ledger's disk has 46 MiB free; this package may take 8 of them, 8 are for those on their way, and 32 stay for what plants send",
  );
  await packages.receive(upload, 0, chunk(first, 0));
  await begin(packages, second);
});

it("takes the place in the ledger of a version that was removed", async () => {
  await using ledger = await onDisk(48 * mebibyte);
  const { packages, disk } = ledger;
  const first = debOf("0.2.0");
  const upload = await begin(packages, first);
  for (const number of [0, 1, 2, 3]) await packages.receive(upload, number, chunk(first, number));
  await packages.complete(emil, upload);
  disk.freeBytes = 37 * mebibyte;
  const second = debOf("0.3.0");
  await expect(begin(packages, second)).rejects.toThrow("plantgate release remove VERSION");
  await packages.remove(emil, "0.2.0");
  await begin(packages, second);
});

it("goes on once there is room again where plants have taken it meanwhile", async () => {
  await using ledger = await onDisk(48 * mebibyte);
  const { packages, disk } = ledger;
  const own = debOf("0.2.0");
  const upload = await begin(packages, own);
  await packages.receive(upload, 0, chunk(own, 0));
  disk.freeBytes = 33 * mebibyte;
  await expect(packages.receive(upload, 1, chunk(own, 1))).rejects.toThrow(
    "the ledger's disk has 33 MiB free, and 32 stay for what plants send: make room there, and send the package again, which goes on from here",
  );
  disk.freeBytes = 34 * mebibyte;
  await packages.receive(upload, 1, chunk(own, 1));
  expect((await packages.list()).uploads).toMatchObject([{ chunks: 2 }]);
});

it("that takes the place of what another one has begun under its name is noted as that", async () => {
  await using own = await openTestStorage("sqlite");
  const storage = await openStorage(own.target);
  const packages = new Packages({ storage, clock: systemClock, audit: new Audit(systemClock), mostBytes: 1e9, version: null });
  await packages.begin({ ...emil, name: "eve" }, makePackage(deb));
  await packages.begin(emil, makePackage(deb));
  await packages.begin(emil, makePackage(deb));
  const entries = (await storage.selectFrom("audit").select("entry").execute()).map(({ entry }) => JSON.parse(entry));
  await storage.destroy();
  expect(entries).toMatchObject([{ actor: "emil", action: "release.uploadDropped", detail: { file: deb, by: "eve" } }]);
});
