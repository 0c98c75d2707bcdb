import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { hosts, odoo, selfSigned } from "../plant/peers.ts";
import type { ConnectorName, Plant } from "../plant/plant.ts";
import type { Seed } from "./seed.ts";

const names = Object.values(hosts);

/** A system whose name is gone. */
const nameless = (connector: "wms" | "scheduler" | "press" | "erp"): Seed => ({
  name: `the name of ${connector} is not known`,
  named: `fault names ${hosts[connector]}`,
  says: /does not resolve \(\w+\).*getent hosts/,
  takes: [connector],
  needs: ["addresses", "name server"],
  sow: ({ root }) => root.forget(hosts[connector]),
  mend: ({ root }) => root.recall(hosts[connector]),
});

/** Of the warehouse's broker, which is then down for the gateway as well. */
const broker = (
  name: string,
  of: Pick<Seed, "named" | "says" | "before" | "needs"> & { sow: (plant: Plant) => Promise<unknown>; states?: string[] },
): Seed => ({
  name,
  named: of.named,
  says: of.says,
  ...(of.before ? { before: of.before } : {}),
  takes: ["wms"],
  needs: ["process", ...(of.needs ?? ["addresses", "dates"])],
  sow: async (plant) => {
    await of.sow(plant);
    await plant.connectorIs("wms", ...(of.states ?? ["down"]));
  },
  mend: (plant) => plant.broker.present(),
});
const issued = (plant: Plant, days: number, more: object = {}) => plant.authority.issue(days, { names: [hosts.wms], ...more });

/** Of a system behind HTTP, that is asked often. */
const asked = (
  connector: "scheduler" | "erp",
  name: string,
  of: Pick<Seed, "says"> & { level?: string; sow: (plant: Plant) => Promise<unknown>; states?: string[] },
): Seed => ({
  name,
  named: `${of.level ?? "fault"} connectors ${connector}`,
  says: of.says,
  takes: [connector],
  needs: ["process", "addresses"],
  sow: async (plant) => {
    await of.sow(plant);
    await plant.connectorIs(connector, ...(of.states ?? ["down", "degraded"]));
  },
  mend: (plant) => plant[connector].answer(),
});
const status =
  (code: number) =>
  (connector: "scheduler" | "erp") =>
  (plant: Plant): Promise<void> =>
    plant[connector].answer((request, response) => void request.resume().on("end", () => response.writeHead(code).end("{}")));

const press = (
  name: string,
  of: Pick<Seed, "says"> & {
    level?: string;
    sow: (plant: Plant) => Promise<unknown> | unknown;
    mend?: (plant: Plant) => Promise<unknown> | unknown;
  },
): Seed => ({
  name,
  named: `${of.level ?? "fault"} connectors press`,
  says: of.says,
  takes: ["press"],
  needs: ["addresses"],
  sow: async (plant) => {
    await of.sow(plant);
  },
  mend: async (plant) => {
    await of.mend?.(plant);
    await plant.press.restart();
  },
});
type ConnectorStates = readonly string[];

let squatter: Server | undefined;
const squat = async (port: number, greeting = ""): Promise<void> => {
  squatter = createServer((socket) => socket.on("error", () => {}).once("data", () => socket.end(greeting))).listen(
    port,
    "127.0.0.1",
  );
  await once(squatter, "listening");
};
const leave = async (): Promise<void> => {
  squatter?.close();
};

/** By what central sends, and the gateway runs. */
const planned = (
  connector: ConnectorName,
  name: string,
  of: Pick<Seed, "named" | "says" | "plan"> & { states: ConnectorStates; takes?: string[] },
): Seed => ({
  name,
  named: of.named,
  says: of.says,
  takes: of.takes ?? [connector],
  needs: ["link", "process", "addresses", "disk"],
  plan: of.plan!,
  sow: (plant) => plant.connectorIs(connector, ...of.states),
});

export const connectorSeeds: readonly Seed[] = [
  {
    name: "the name server is silent, and no name is known without",
    named: "fault names",
    says: /no name server answers \(127\.53\..*central.*wms.*This machine asks 127\.53\..*try: getent hosts/,
    takes: ["link", "name server", "wms", "scheduler", "press", "erp"],
    needs: ["addresses"],
    sow: async ({ root }) => {
      await root.nameServer.stop();
      root.know([]);
    },
    mend: async ({ root }) => {
      root.know(names);
      await root.nameServer.start();
    },
  },
  nameless("wms"),
  nameless("scheduler"),
  nameless("press"),
  nameless("erp"),
  broker("the broker is away", {
    needs: [],
    named: "fault connectors wms",
    says: /is not reached: .*ECONNREFUSED.*Does that system run|it is down: .*nothing listens there/,
    sow: ({ broker: { stop } }) => stop(),
  }),
  broker("the broker's certificate has expired", {
    named: "fault certificates wms",
    says: /expired on .*Renew it at that system/,
    sow: async (plant) => plant.broker.present(await issued(plant, -1)),
  }),
  broker("the broker's certificate is not valid yet", {
    named: "fault certificates wms",
    says: /not valid before/,
    sow: async (plant) => plant.broker.present(await issued(plant, 90, { sinceDays: -2 })),
  }),
  broker("the broker's certificate expires soon", {
    named: "warning certificates wms",
    says: /expires in [89] days/,
    states: ["up"],
    sow: async (plant) => {
      await plant.broker.present(await issued(plant, 9));
      await plant.restart();
      await plant.connectorIs("wms", "up");
    },
    before: "restart",
  }),
  broker("the broker's certificate is made by hand, for a month", {
    named: "fault connectors wms",
    says: /not trusted: .*NODE_EXTRA_CA_CERTS/,
    sow: async ({ broker: { present }, folder }) => present(selfSigned(folder, 29, hosts.wms)),
  }),
  broker("the broker's certificate is for another name", {
    named: "fault connectors wms",
    says: /ERR_TLS_CERT_ALTNAME_INVALID/,
    sow: async (plant) => plant.broker.present(await issued(plant, 90, { names: ["elsewhere.example"] })),
  }),
  broker("the broker speaks no TLS", {
    named: "fault connectors wms",
    says: /is not reached|no TLS/,
    sow: ({ broker: { plain } }) => plain(),
  }),
  // by a clock by which its certificate is no good, the gateway itself would get no further than that
  broker("the broker wants a password", {
    named: "fault connectors wms",
    says: /the gateway says that it is down: .*(not allow this user|closed)/,
    sow: async ({ broker: { present } }) => present(undefined, { somebody: "known" }),
  }),
  asked("scheduler", "the scheduler is away", { says: /is not reached/, sow: ({ scheduler }) => scheduler.close() }),
  asked("scheduler", "the scheduler takes no token", { says: /401/, sow: status(401)("scheduler") }),
  asked("scheduler", "the scheduler fails", { says: /500/, sow: status(500)("scheduler") }),
  asked("scheduler", "the scheduler is silent", { says: /scheduler|silent|answer/, sow: ({ scheduler }) => scheduler.freeze() }),
  asked("erp", "Odoo is away", { says: /is not reached/, sow: ({ erp }) => erp.close() }),
  asked("erp", "Odoo takes no key", {
    says: /401|key/,
    sow: ({ erp }) =>
      erp.answer((request, response) =>
        request.url === "/web/version"
          ? odoo()(request, response)
          : request
              .resume()
              .on("end", () =>
                response.writeHead(401, { "content-type": "application/json" }).end('{"message":"Invalid apikey"}'),
              ),
      ),
  }),
  asked("erp", "Odoo is an old one", { says: /17\.0/, sow: ({ erp }) => erp.answer(odoo({ release: "17.0" })) }),
  asked("erp", "what answers is no Odoo", { says: /no Odoo/, sow: status(404)("erp") }),
  asked("erp", "Odoo is silent", { says: /silent|answer/, states: ["up", "down", "degraded"], sow: ({ erp }) => erp.freeze() }),
  press("the press is off", { says: /is not reached/, sow: ({ press: { kill } }) => kill() }),
  press("the press hangs", {
    says: /does not answer as an OPC UA server/,
    sow: ({ press: { freeze } }) => freeze(),
    mend: ({ press: { stop } }) => stop(),
  }),
  press("another server stands at the press's address", {
    says: /what answers is no OPC UA server.*4840/,
    sow: async (plant) => {
      const port = Number(new URL(plant.press.endpoint).port);
      await plant.press.stop();
      await squat(port, "HTTP/1.1 400 Bad Request\r\n\r\n");
    },
    mend: leave,
  }),
  planned("press", "the press offers no such security", {
    named: "fault connectors press",
    says: /offers no endpoint with Sign and None, only /,
    plan: () => ({ pressSecurity: "Sign", pressPolicy: "None" }),
    states: ["down"],
  }),
  planned("press", "the press's certificate is not trusted", {
    named: "fault connectors press",
    says: /not among those that are trusted: SHA-1 [0-9a-f]{40}.*add it to trust/,
    plan: () => ({ pressSecurity: "Sign" }),
    states: ["down"],
  }),
  planned("press", "a node is missing", {
    named: "warning connectors press",
    says: /degraded: .*Nowhere/,
    plan: () => ({ pressNode: "nsu=urn:plantgate:demo:press;s=Nowhere" }),
    states: ["degraded"],
  }),
  planned("press", "the press's port is another server's", {
    named: "fault connectors press",
    says: /no OPC UA server/,
    plan: ({ plan }) => ({ pressEndpoint: `opc.tcp://${hosts.press}:${new URL(plan.erpUrl).port}` }),
    states: ["down"],
    takes: ["press"],
  }),
  {
    name: "the embedded broker's port is taken",
    named: ({ plan }) => `fault ports floor, port ${plan.floorPort}`,
    says: /process \d+ \(.*\) listens there/,
    takes: ["floor"],
    needs: ["process"],
    before: "restart",
    sow: async (plant) => {
      await plant.stop();
      await squat(plant.plan.floorPort);
      await plant.start();
      await plant.linkIs("online", "offline", "connecting", "denied");
      await plant.connectorIs("floor", "down");
    },
    mend: leave,
  },
];
