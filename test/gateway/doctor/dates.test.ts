import { once } from "node:events";
import { utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Place } from "../../../gateway/doctor/doctor.ts";
import { type Bundle, known, type Ntp } from "../../../protocol/index.ts";
import { type Certificate, makeAuthority } from "../../support/certificates.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { look, said } from "./place.ts";

const dayMs = 86_400_000;

async function serve(certificate: Certificate) {
  const server = createServer(certificate, (_, response) =>
    response.end(JSON.stringify({ status: "up", incarnation: "one" })),
  ).on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Clock {
  /** Undefined: central is away. */
  readonly skewMs?: number;
  readonly ntp?: Ntp;
  /** A file of its folder was written at a time that is yet to come. */
  readonly isBehind?: true;
}

function writeLater(folder: string): void {
  const [file, later] = [join(folder, "queue.db"), new Date(Date.now() + dayMs)];
  writeFileSync(file, "");
  utimesSync(file, later, later);
}

/** What the doctor of a gateway that is stopped says of its one connector, an ERP by HTTPS. */
async function lookAtErp(url: string, ca: string, { skewMs, ntp, isBehind }: Clock): Promise<string[]> {
  const bundle = { site: "lyon", connectors: { erp: { config: { type: "http", url } } } } as unknown as Bundle;
  using folder = temporaryFolder();
  if (isBehind) writeLater(folder.path);
  const place: Partial<Place> = { dataDir: folder.path, authorities: ca, ntp: async () => ntp };
  const findings = await look(["connectors", "certificates"], {
    place,
    known: {
      bundle: async () => bundle,
      configuration: async () => known({ bundle, state: {} as never }),
      secrets: async () => known({ values: new Map(), damaged: undefined }),
      central: async () => ({ findings: [], ...(skewMs === undefined ? { why: "it is away" } : { skewMs }) }),
    },
  });
  return said(findings).map((each) => each.replace(/localhost:\d+/, "WHERE").replaceAll(/\d{4}-\d\d-\d\d/g, "DAY"));
}

describe("an authority that has expired, of a certificate that has not", () => {
  const over = "fault|connectors|erp|WHERE: an authority in its certificate's chain is out of date";
  const untold = "unchecked|connectors|erp|by this machine's clock its certificate, or an authority in its chain, is out of date";
  it.each<[string, Clock, string]>([
    ["is a fault while the clock agrees with central's", { skewMs: 100 }, over],
    ["is a fault while NTP keeps the clock, and central is away", { ntp: "kept" }, over],
    ["is not said by a clock that is wrong", { skewMs: -20 * dayMs }, untold],
    ["is a fault while nothing speaks against the clock", {}, over],
    ["is not said by a clock that is behind what was written", { isBehind: true }, untold],
  ])("%s", async (_, clock, expected) => {
    const authority = await makeAuthority(-1);
    await using erp = await serve(await authority.issue());
    const [connector, certificate, ...more] = await lookAtErp(erp.url, authority.ca, clock);
    expect(connector).toBe(expected);
    expect(certificate).toMatch(/^ok\|certificates\|erp/);
    expect(more).toEqual([]);
  });
});

describe("a certificate that is out of date by this machine's clock", () => {
  const mild = "unchecked|certificates|erp|by this machine's clock, which is wrong,";
  it.each<[string, Clock, number, number, string]>([
    [
      "has expired, by central's clock as well",
      { skewMs: 0 },
      -1,
      60,
      "fault|certificates|erp|the certificate has expired on DAY",
    ],
    [
      "has expired, where NTP keeps the clock",
      { ntp: "kept" },
      -1,
      60,
      "fault|certificates|erp|the certificate has expired on DAY",
    ],
    [
      "has expired, where nothing speaks against the clock",
      { ntp: "off" },
      -1,
      60,
      "fault|certificates|erp|the certificate has expired on DAY",
    ],
    [
      "may be valid already, where the clock is behind",
      { isBehind: true },
      9,
      -2,
      `${mild} the certificate is not valid before DAY`,
    ],
  ])("%s", async (_, clock, days, sinceDays, expected) => {
    const authority = await makeAuthority();
    await using erp = await serve(await authority.issue(days, { sinceDays }));
    expect(await lookAtErp(erp.url, authority.ca, clock)).toEqual([
      "unchecked|connectors|erp|its certificate is out of date",
      expected,
    ]);
  });
});

it("names an authority in central's chain that has expired, beside others that central is judged by", async () => {
  using folder = temporaryFolder();
  const [authority, another] = [await makeAuthority(-1), await makeAuthority(365, "CN=Another CA")];
  await using central = await serve(await authority.issue());
  writeFileSync(join(folder.path, "central-ca.pem"), `${authority.ca}\n${another.ca}\n`);
  const settings = { site: "lyon", centralUrl: central.url, centralCa: "central-ca.pem" };
  writeFileSync(join(folder.path, "gateway.json"), JSON.stringify(settings), { mode: 0o600 });
  expect(said(await look(["central"], { place: { dataDir: folder.path } }))).toEqual([
    "fault|central||an authority in its certificate's chain is out of date: nothing that only central may hear was said",
  ]);
});

describe("while central is away", () => {
  it.each<[string, Ntp | undefined, RegExp]>([
    [
      "a file that is of a later time than now says that the clock is wrong",
      undefined,
      /^fault\|clock\|\|it says \S+, and queue\.db was written at \S+: it is behind, or was ahead then$/,
    ],
    ["such a file says nothing against NTP", "kept", /^unchecked\|clock\|\|how far it is from central's: it is away$/],
  ])("%s", async (_, ntp, expected) => {
    using folder = temporaryFolder();
    writeLater(folder.path);
    const findings = await look(["clock"], {
      place: { dataDir: folder.path, ntp: async () => ntp },
      known: { central: async () => ({ findings: [], why: "it is away" }) },
    });
    expect(said(findings)).toEqual([expect.stringMatching(expected)]);
  });
});
