import { generateKeyPairSync } from "node:crypto";
import { hosts, selfSigned } from "../plant/peers.ts";
import type { Plant } from "../plant/plant.ts";
import { changing, inData, merge, replace, type Seed } from "./seed.ts";

/** What stands at central's address; the gateway's own link breaks by that. */
const front = (
  name: string,
  of: Pick<Seed, "named" | "says" | "before" | "needs"> & { sow: (plant: Plant) => Promise<unknown> },
): Seed => ({
  name,
  ...of,
  takes: ["link"],
  mend: (plant) => plant.front.present(),
});
const issued = (plant: Plant, days: number, more: object = {}) =>
  plant.authority.issue(days, { names: [hosts.central], ...more });

/** By what enrollment wrote; the gateway that runs goes on with what it knows. */
const told = (
  name: string,
  of: Pick<Seed, "named" | "says">,
  change: (file: string, text: string) => void,
  more: Partial<Seed> = {},
): Seed => ({
  name,
  ...of,
  takes: ["link", "gateway.json"],
  ...changing(inData("gateway.json"), change),
  ...more,
});

const another = (): string => {
  const publicKey = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" });
  return JSON.stringify({ keys: [{ kid: "another", publicKey }] });
};

let shown = "";
const authority = changing(
  inData("central-ca.pem"),
  replace(() => shown),
);

export const centralSeeds: readonly Seed[] = [
  front("central is away", { named: "fault central", says: /is not reached.*firewall/, sow: (plant) => plant.front.close() }),
  front("central takes connections, and speaks no TLS", {
    named: "fault central",
    says: /is not reached/,
    sow: (plant) => plant.front.freeze(),
  }),
  front("central says nothing", {
    named: "fault central",
    says: /is silent.*hangs or is down behind/,
    sow: (plant) => plant.front.answer(""),
  }),
  front("central is down behind its balancer", {
    named: "fault central",
    says: /HTTP 503.*down behind/,
    sow: (plant) => plant.front.answer("HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
  }),
  front("another server stands at central's address", {
    named: "fault central",
    says: /HTTP 404.*Is this central's address/,
    sow: (plant) => plant.front.answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
  }),
  front("central's certificate has expired", {
    named: "fault certificates central",
    says: /expired on .*Renew it where central's TLS ends/,
    sow: async (plant) => plant.front.present(await issued(plant, -1)),
  }),
  front("central's certificate is not valid yet", {
    named: "fault certificates central",
    says: /not valid before/,
    sow: async (plant) => plant.front.present(await issued(plant, 90, { sinceDays: -2 })),
  }),
  front("central's certificate expires soon", {
    before: "restart",
    needs: ["process"],
    named: "warning certificates central",
    says: /expires in [45] days/,
    sow: async (plant) => {
      await plant.front.present(await issued(plant, 5));
      await plant.restart();
      await plant.linkIs("online");
    },
  }),
  front("central's certificate is made by hand", {
    needs: ["dates"],
    named: "fault central",
    says: /not trusted: .*--central-ca/,
    sow: async (plant) => plant.front.present(selfSigned(plant.folder, 29, hosts.central)),
  }),
  front("central's certificate is for another name", {
    needs: ["dates"],
    named: "fault central",
    says: /ERR_TLS_CERT_ALTNAME_INVALID/,
    sow: async (plant) => plant.front.present(await issued(plant, 90, { names: ["elsewhere.example"] })),
  }),
  {
    name: "the name of central is not known",
    named: `fault names ${hosts.central}`,
    says: /does not resolve \(central\)/,
    takes: ["link"],
    needs: ["name server"],
    sow: ({ root }) => root.forget(hosts.central),
    mend: ({ root }) => root.recall(hosts.central),
  },
  told(
    "the proxy is away",
    { named: "fault central", says: /through the proxy localhost:1.*right proxy/ },
    merge({ proxy: "http://localhost:1" }),
  ),
  told(
    "the proxy's name is not known",
    { named: "fault names proxy.invalid", says: /the proxy to central/ },
    merge({ proxy: "http://proxy.invalid:3128" }),
    { needs: ["name server"] },
  ),
  told(
    "the pin is of another key",
    { named: "fault central", says: /not the pinned one/ },
    merge({ centralPin: Buffer.alloc(32).toString("base64") }),
  ),
  told("the site is another one", { named: "fault central", says: /site-unknown|no site/ }, merge({ site: "elsewhere" }), {
    takes: ["link", "gateway.json", "agent.db"],
  }),
  told(
    "central's address is another one",
    { named: "fault central", says: /is not reached/ },
    merge({ centralUrl: "https://localhost:1" }),
  ),
  {
    name: "the authority's file is damaged",
    named: "fault central",
    says: /certificate.*(--central-ca|Put the file)/,
    takes: ["link", "central-ca.pem"],
    ...changing(inData("central-ca.pem"), replace("x")),
  },
  {
    name: "the private authority has expired",
    named: ({ root }) => `fault certificates ${root.dataDir}/central-ca.pem`,
    says: /expired on .*enroll again with --central-ca/,
    takes: ["link", "central-ca.pem"],
    needs: ["dates"],
    sow: async (plant) => {
      shown = (await issued(plant, -1)).cert;
      authority.sow(plant);
    },
    mend: (plant) => authority.mend(plant),
  },
  {
    name: "the signing key that is pinned is another central's",
    named: "fault central",
    says: /signing key is not the one that is pinned/,
    takes: ["link", "central-keys.json", "agent.db"],
    ...changing(inData("identity/central-keys.json"), replace(another)),
  },
];

/** Not to be mended: it is the last one. */
export const revokedSeed: Seed = {
  name: "the gateway's key is revoked",
  named: "fault central",
  says: /refuses this gateway.*revoked/,
  takes: ["link"],
  sow: ({ central, fingerprint }) => central.admin("POST", `/v1/sites/lyon/keys/${fingerprint}/revoke`, {}),
};
