import { expect, it } from "vitest";
import type { SitesAnswer } from "../../central/http/views.ts";
import type { Document } from "../../protocol/index.ts";
import { startHttpPeer } from "../support/http-peer.ts";
import { until } from "../support/process.ts";
import { openSystem, reported } from "../support/system.ts";

const about = (name: string) => ({ name, owner: "platform@example.com", purpose: "test" });

function documents(peerUrl: string): Document[] {
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: about("plant"),
      spec: {
        parameters: {},
        codes: {},
        connectors: { peer: { type: "http", url: peerUrl }, floor: floor },
        flows: {
          shortages: {
            purpose: "What is missing, told to the scheduler",
            from: { connector: "peer", webhook: "/shortages" },
            as: "shortage.reported",
            map: '{ "shortageId": payload.txn, "moId": "m", "item": "i", "qtyShort": $quantity("1", "C62"), "cause": "gone", "reportedAt": "2026-01-31T08:00:00.000Z" }',
            to: [{ connector: "peer", post: "/in" }],
          },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: { ...about("lyon"), labels: { environment: "dev" } },
      spec: { template: "plant", timeZone: "UTC", parameters: {}, grants: { send: ["shortage.reported"], receive: [] } },
    },
  ] as Document[];
}
const floor = {
  type: "mqtt-broker",
  port: 0,
  users: [{ username: "terminal", password: { secret: "terminal" }, publish: ["floor/#"] }],
  grants: { subscribe: ["floor/#"] },
};
const policy = (spec: object): Document =>
  ({
    apiVersion: "plantgate/v1",
    kind: "Policy",
    metadata: about("dev"),
    spec: { selector: { labels: { environment: "dev" } }, ...spec },
  }) as unknown as Document;

it("puts what policies say into effect in a running gateway, and no connector connects anew for it", async () => {
  await using peer = await startHttpPeer((_call, response) => void response.writeHead(200).end());
  await using system = openSystem();
  const central = await system.central();
  const gateway = await system.gateway("lyon", central, { secrets: { terminal: "floor-password" } });
  await reported(central, "lyon", await central.push("lyon", documents(peer.url)));
  const connectors = async () => {
    const { sites } = await central.get<SitesAnswer>("/v1/sites");
    return sites.flatMap((site) => site.connectors).map(({ name, connects, since }) => ({ name, connects, since }));
  };
  const before = await until(connectors, (all) => all.length === 2);
  const tell = (txn: string) => fetch(`${gateway.url}/in/peer/shortages`, { method: "POST", body: JSON.stringify({ txn }) });
  expect((await tell("1")).status).toBe(202);
  await until(
    () => peer.calls.length,
    (count) => count === 1,
  );
  const debugged = (): number => gateway.process.output.filter((line) => line.includes("delivery.message.delivered")).length;
  expect(debugged()).toBe(0);

  const says = policy({
    logLevel: "debug",
    link: { bytesPerSecond: "64KiB", linger: { bulk: "1s" } },
    deliveries: [{ type: "http", retry: { attempts: 3 }, onExhausted: "park" }],
    queue: { encryption: { atRest: true } },
    watch: { for: "1s" },
  });
  await reported(central, "lyon", await central.push("lyon", [says]));
  expect((await tell("2")).status).toBe(202);
  await until(debugged, (count) => count > 0);
  // its own setting again, as nobody says one any more
  await reported(central, "lyon", await central.push("lyon", [policy({ watch: { for: "1s" } })]));
  const told = debugged();
  expect((await tell("3")).status).toBe(202);
  await until(
    () => peer.calls.length,
    (count) => count === 3,
  );
  expect(await connectors()).toEqual(before);
  expect(debugged()).toBe(told);
});
