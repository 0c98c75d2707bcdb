import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ReleasesAnswer } from "../../../central/http/api/releases.ts";
import { releaseLimits } from "../../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { plantgateHere } from "../../support/command.ts";
import { signInAs } from "../../support/people.ts";
import { addPackage, makePackage, putChunk, type TestPackage } from "../../support/releases.ts";
import { storages } from "../../support/storages.ts";

const { chunkBytes } = releaseLimits;
const deb = "plantgate-gateway_0.2.0_amd64.deb";

describe.each(await storages())("packages of gateways on %s", (storage) => {
  it("are sent in chunks, checked as a whole, listed, and kept when central starts again", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb, 2 * chunkBytes + 17);
    await addPackage(central, own);
    await addPackage(central, makePackage("plantgate-0.2.0-linux-arm64.tar.gz"));
    await central.restart();
    const { releases } = (await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body;
    expect(releases).toMatchObject([
      {
        version: "0.2.0",
        packages: expect.arrayContaining([
          expect.objectContaining({ file: deb, platform: "linux-x64", kind: "deb", size: own.size, sha256: own.sha256 }),
          expect.objectContaining({ platform: "linux-arm64", kind: "tar", addedBy: "admin-token" }),
        ]),
      },
    ]);
    // the same once more is no work; another content under the same name is refused
    expect((await begin(central, own)).body).toMatchObject({ upload: null });
    expect(await begin(central, makePackage(deb))).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining("is here with other content") },
    });
    const audit = await central.admin<{ entries: { action: string }[] }>("GET", "/v1/audit?limit=50");
    expect(JSON.stringify(audit.body)).toContain("release.added");
  });

  it("go on where an upload broke off, also at another replica", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb, 3 * chunkBytes);
    const first = await begin(central, own);
    await putChunk(central, first.body.upload, 0, own.bytes.subarray(0, chunkBytes));
    await central.restart();
    const again = await begin(central, own);
    expect(again.body).toMatchObject({ upload: first.body.upload, received: 1 });
    // what has not all come is not there
    expect(await complete(central, first.body.upload)).toMatchObject({ status: 409 });
    expect((await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body.releases).toEqual([]);
    await using second = storage === "postgres" ? await central.replica() : central;
    for (const [number, at] of [
      [2, second],
      [1, central],
    ] as const)
      await putChunk(at, first.body.upload, number, own.bytes.subarray(number * chunkBytes, (number + 1) * chunkBytes));
    expect(await complete(second, first.body.upload)).toMatchObject({ status: 200, body: { version: "0.2.0", file: deb } });
    for (const at of [central, second])
      expect((await at.admin<ReleasesAnswer>("GET", "/v1/releases")).body.releases).toMatchObject([{ version: "0.2.0" }]);
  });

  it("are refused when they are not what was said, and nothing of them stays", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb);
    const { upload } = (await begin(central, { ...own, sha256: makePackage(deb).sha256 })).body;
    expect(await putChunk(central, upload, 0, own.bytes.subarray(1))).toMatchObject({ status: 422 });
    expect(await putChunk(central, upload, 1, own.bytes)).toMatchObject({ status: 422 });
    expect(await putChunk(central, upload, 0, Buffer.alloc(chunkBytes + 1))).toMatchObject({ status: 413 });
    expect(await putChunk(central, upload, 0, own.bytes, { "content-type": "text/plain" })).toMatchObject({ status: 415 });
    expect(await putChunk(central, randomUUID(), 0, own.bytes)).toMatchObject({ status: 404 });
    expect(await putChunk(central, upload, 0, own.bytes)).toMatchObject({ status: 200 });
    expect(await complete(central, upload)).toMatchObject({ status: 422, body: { detail: expect.stringContaining("SHA-256") } });
    expect(await putChunk(central, upload, 0, own.bytes)).toMatchObject({ status: 404 });
    await addPackage(central, own);
  });

  it("are named as packages of gateways are, of a size that is bounded, signed", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb);
    for (const file of [
      "../../etc/passwd",
      "plantgate-central_0.2.0_amd64.deb",
      "plantgate-gateway_0.2.0_../../x_amd64.deb",
      "plantgate-gateway_latest_amd64.deb",
      `plantgate-gateway_0.2.0-${"a".repeat(200)}_amd64.deb`,
    ])
      expect(await begin(central, { ...own, file }), file).toMatchObject({ status: 422 });
    expect(await begin(central, { ...own, size: releaseLimits.packageBytes + 1 })).toMatchObject({ status: 422 });
    expect(await begin(central, { ...own, signature: "" })).toMatchObject({ status: 422 });
  });

  it("are given, in parts, to the gateway that is to install them, and to no other", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb, chunkBytes + 5000);
    await addPackage(central, own);
    const gateways = [];
    for (const site of ["lyon", "turin"]) {
      await central.admin("POST", "/v1/sites", { name: site, environment: "dev" });
      const gateway = await central.addSite(site);
      await gateway.hello();
      gateways.push(gateway);
    }
    const [lyon, turin] = gateways;
    if (!lyon || !turin) throw new Error("no gateways");
    await lyon.status({ gatewayVersion: "0.1.0", platform: "linux-x64", installed: "deb", upgrade: { state: "none" } });
    expect(await lyon.fetchPackage(deb)).toMatchObject({ status: 404 });
    const { number } = (
      await central.admin<{ number: number }>("POST", "/v1/changes", { title: "up", environment: "dev", release: "0.2.0" })
    ).body;
    await central.admin("POST", `/v1/changes/${number}/submit`, {});
    // a poll that stands is answered with it
    const told = await eventually(
      () => lyon.downlink({ knownRelease: "", waitMs: 5000 }),
      ({ body }) => body.desired.release !== undefined,
    );
    const { release } = told.body.desired;
    expect(release).toEqual({
      ...{
        attempt: expect.any(String),
        version: "0.2.0",
        file: deb,
        size: own.size,
        sha256: own.sha256,
        signature: own.signature,
      },
    });
    const whole = await lyon.fetchPackage(deb);
    expect(whole.bytes.equals(own.bytes)).toBe(true);
    expect(whole.headers.get("accept-ranges")).toBe("bytes");
    for (const [range, first, last] of [
      ["bytes=0-0", 0, 0],
      [`bytes=${chunkBytes - 3}-${chunkBytes + 2}`, chunkBytes - 3, chunkBytes + 2],
      [`bytes=${own.size - 1}-`, own.size - 1, own.size - 1],
      ["bytes=10-99999999999", 10, own.size - 1],
    ] as const) {
      const part = await lyon.fetchPackage(deb, range);
      expect(part.status, range).toBe(206);
      expect(part.headers.get("content-range")).toBe(`bytes ${first}-${last}/${own.size}`);
      expect(part.bytes.equals(own.bytes.subarray(first, last + 1)), range).toBe(true);
    }
    for (const range of [`bytes=${own.size}-`, "bytes=5-1", "bytes=-5", "bytes=0-1,3-4", "lines=0-1"])
      expect((await lyon.fetchPackage(deb, range)).status, range).toBe(422);
    expect(await turin.fetchPackage(deb)).toMatchObject({ status: 404 });
    expect(await lyon.fetchPackage("..%2f..%2fadmin.token")).toMatchObject({ status: 422 });
  });

  it("that somebody begins are listed, bounded for each person, and given up when nothing of them comes", async () => {
    await using central = await startTestCentral({ storage });
    const eve = await signInAs(central, "eve", { roles: ["engineer"], environments: ["test"] });
    const size = releaseLimits.packageBytes;
    const named = (minor: number): object => {
      const { sha256, signature } = makePackage(deb);
      return { file: `plantgate-gateway_0.${minor}.0_amd64.deb`, size, sha256, signature };
    };
    for (let minor = 1; minor <= 4; minor++)
      expect(await eve.call("POST", "/v1/releases/uploads", named(minor))).toMatchObject({ status: 200 });
    expect(await eve.call("POST", "/v1/releases/uploads", named(5))).toMatchObject({
      status: 409,
      body: { detail: expect.stringMatching(/^4 packages of yours are on their way: .*_0\.1\.0_/) },
    });
    // nobody else is stopped by that
    await addPackage(central, makePackage("plantgate-gateway_0.9.0_amd64.deb"));
    const { uploads, room } = (await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body;
    expect(uploads.map(({ file, by, chunks }) => [file, by, chunks])).toEqual(
      [1, 2, 3, 4].map((minor) => [`plantgate-gateway_0.${minor}.0_amd64.deb`, "eve", 0]),
    );
    expect(room).toEqual({ bytes: 4 * size + 3000, mostBytes: 4 * 1024 ** 3 });
    for (const name of ["ann", "bea", "cem"]) {
      const person = await signInAs(central, name, { roles: ["engineer"] });
      const first = 10 * name.charCodeAt(0);
      for (let minor = first; minor < first + 4; minor++) {
        const answer = await person.call("POST", "/v1/releases/uploads", named(minor));
        if (name !== "cem" || minor < first + 3) expect(answer).toMatchObject({ status: 200 });
        else
          expect(answer).toMatchObject({
            status: 409,
            body: { detail: expect.stringMatching(/^packages take \d+ of the 4096 MiB .*on their way: .*0\.1\.0.* by eve/) },
          });
      }
    }
    // whoever began it takes it away, and whoever looks after all environments; nobody else
    const dan = await signInAs(central, "dan", { roles: ["engineer"], environments: ["test"] });
    const [first, second, third] = uploads;
    const drop = (upload: string | undefined) => `/v1/releases/uploads/${upload}`;
    expect(await dan.call("DELETE", drop(first?.upload))).toMatchObject({
      status: 403,
      body: { detail: expect.stringMatching(/^eve began .*_0\.1\.0_.*: that person takes it away, or an engineer of every/) },
    });
    // nor by sending something else under its name
    expect(await dan.call("POST", "/v1/releases/uploads", named(1))).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining("eve began") },
    });
    expect(await eve.call("DELETE", drop(first?.upload))).toMatchObject({ status: 200, body: { file: first?.file } });
    expect(await eve.call("DELETE", drop(first?.upload))).toMatchObject({ status: 404 });
    expect(await eve.call("POST", "/v1/releases/uploads", named(6))).toMatchObject({ status: 200 });
    const cli = (...args: string[]) =>
      plantgateHere([...args, "--central", central.url, "--token-file", join(central.dataDir, "admin.token")], {
        cwd: central.dataDir,
      });
    expect((await cli("release", "list")).out).toContain("plantgate release drop FILE");
    expect(await cli("release", "drop", second?.file ?? "")).toMatchObject({ code: 0 });
    expect(await cli("release", "drop", second?.file ?? "")).toMatchObject({
      code: 1,
      err: expect.stringContaining("is not on its way"),
    });
    expect(JSON.stringify((await central.admin("GET", "/v1/audit?limit=50")).body)).toContain("release.uploadDropped");
    expect(await central.admin("DELETE", `/v1/releases/${third?.version}`)).toMatchObject({ status: 200 });
  });

  it("take no more of the ledger than its settings allow", async () => {
    await using central = await startTestCentral({ storage, settings: { maxReleasesMiB: 256 } });
    const { sha256, signature } = makePackage(deb);
    const whole = { file: deb, size: releaseLimits.packageBytes, sha256, signature };
    expect(await central.admin("POST", "/v1/releases/uploads", whole)).toMatchObject({ status: 200 });
    expect(await begin(central, makePackage("plantgate-0.2.0-linux-x64.tar.gz"))).toMatchObject({
      status: 409,
      body: {
        detail: expect.stringMatching(/^packages take 256 of the 256 MiB that they may \(plantgate central --max-releases\)/),
      },
    });
  });

  it("that were sent with central's admin token are a person's once that person sends the same", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb);
    await addPackage(central, own);
    const { file, size, sha256, signature } = own;
    const emil = await signInAs(central, "emil", { roles: ["engineer"] });
    const rolf = await signInAs(central, "rolf", { roles: ["engineer", "approver"] });
    const paula = await signInAs(central, "paula", { roles: ["engineer", "approver"] });
    const body = { title: "to 0.2.0", environment: "prod", release: "0.2.0", untested: "no plant for tests" };
    expect(await emil.call("POST", "/v1/changes", body)).toMatchObject({
      status: 409,
      body: {
        detail: expect.stringMatching(
          /^"prod" asks for review, and packages of 0\.2\.0 were sent with central's admin token, which is nobody: a person sends the same files once more/,
        ),
      },
    });
    // another signature is another package
    const other = { file, size, sha256, signature: makePackage(deb).signature };
    expect(await rolf.call("POST", "/v1/releases/uploads", other)).toMatchObject({ status: 409 });
    const again = { file, size, sha256, signature };
    expect(await rolf.call("POST", "/v1/releases/uploads", again)).toMatchObject({
      status: 200,
      body: { upload: null, vouched: true },
    });
    // they are rolf's from now on, whoever sends them again
    const { body: of } = await paula.call<object>("POST", "/v1/releases/uploads", again);
    expect(of).not.toHaveProperty("vouched");
    const { number } = (await emil.call<{ number: number }>("POST", "/v1/changes", body)).body;
    expect(await emil.call("POST", `/v1/changes/${number}/submit`, {})).toMatchObject({ status: 200 });
    const { digest } = (await emil.call<{ digest: string }>("GET", `/v1/changes/${number}`)).body;
    expect(await rolf.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({ status: 403 });
    expect(await paula.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({ status: 200 });
    expect(JSON.stringify((await central.admin("GET", "/v1/audit?limit=50")).body)).toContain("release.vouched");
  });

  it("stay what was judged: a chunk that is here is not replaced while all of them are looked at", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb, 2 * chunkBytes);
    const { upload } = (await begin(central, own)).body;
    const parts = [0, 1].map((number) => own.bytes.subarray(number * chunkBytes, (number + 1) * chunkBytes));
    for (const [number, part] of parts.entries()) await putChunk(central, upload, number, part);
    // what is sent once more, as its answer was lost, is no work
    expect(await putChunk(central, upload, 0, parts[0] as Buffer)).toMatchObject({ status: 200 });
    const [late, done] = await Promise.all([
      putChunk(central, upload, 0, makePackage(deb, chunkBytes).bytes),
      complete(central, upload),
    ]);
    expect([404, 409]).toContain(late.status);
    expect(done).toMatchObject({ status: 200, body: { file: deb } });
  });

  it("are here once, and for everybody who says that all of them came", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb);
    const { upload } = (await begin(central, own)).body;
    await putChunk(central, upload, 0, own.bytes);
    const done = await Promise.all([complete(central, upload), complete(central, upload), complete(central, upload)]);
    expect(done.map(({ status }) => status)).toEqual([200, 200, 200]);
    const audit = await central.admin<{ entries: { action: string }[] }>("GET", "/v1/audit?limit=50");
    expect(audit.body.entries.filter(({ action }) => action === "release.added")).toHaveLength(1);
  });

  it("leave room to others while one site opens many and takes nothing", async () => {
    await using central = await startTestCentral({ storage });
    const own = makePackage(deb, 12 * chunkBytes);
    await addPackage(central, own);
    const [a, b] = await Promise.all(
      ["a", "b"].map(async (site) => {
        await central.admin("POST", "/v1/sites", { name: site, environment: "dev" });
        const gateway = await central.addSite(site);
        await gateway.hello();
        await gateway.status({ gatewayVersion: "0.1.0", platform: "linux-x64", installed: "deb", upgrade: { state: "none" } });
        return gateway;
      }),
    );
    if (!a || !b) throw new Error("no gateways");
    const { number } = (
      await central.admin<{ number: number }>("POST", "/v1/changes", {
        ...{ title: "up", environment: "dev", release: "0.2.0", strategy: { waves: [{ count: 2 }] } },
      })
    ).body;
    await central.admin("POST", `/v1/changes/${number}/submit`, {});
    for (const gateway of [a, b])
      await eventually(
        () => gateway.downlink({ knownRelease: "", waitMs: 5000 }),
        ({ body }) => body.desired.release !== undefined,
      );
    const ends = new AbortController();
    const token = await a.token();
    // one after the other: all at once would wait for the database's connections, and be told so
    const held: Response[] = [];
    while (held.length < 36)
      held.push(
        await fetch(`${central.url}/v1/sites/a/releases/${deb}`, {
          headers: { authorization: `Bearer ${token}` },
          signal: ends.signal,
        }),
      );
    expect(held.map(({ status }) => status)).toEqual(held.map(() => 200));
    expect((await b.fetchPackage(deb)).bytes.equals(own.bytes)).toBe(true);
    // held until here: what nobody refers to is ended
    expect(held.some(({ bodyUsed }) => bodyUsed)).toBe(false);
    ends.abort();
  });

  it("are looked after by engineers alone", async () => {
    await using central = await startTestCentral({ storage });
    const viewer = await signInAs(central, "vera", { roles: ["operator"] });
    const { file, size, sha256, signature } = makePackage(deb);
    expect(await viewer.call("POST", "/v1/releases/uploads", { file, size, sha256, signature })).toMatchObject({ status: 403 });
    expect(await viewer.call("DELETE", "/v1/releases/0.2.0")).toMatchObject({ status: 403 });
    expect(await viewer.call("GET", "/v1/releases")).toMatchObject({ status: 200 });
  });
});

type Begun = { upload: string; received: number; detail?: string };

function begin(central: TestCentral, { file, size, sha256, signature }: Omit<TestPackage, "bytes">) {
  return central.admin<Begun>("POST", "/v1/releases/uploads", { file, size, sha256, signature });
}

function complete(central: TestCentral, upload: string) {
  return central.admin<{ detail?: string }>("POST", `/v1/releases/uploads/${upload}/complete`, {});
}
