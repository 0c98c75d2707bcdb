import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import {
  CreateMonitoredItemsRequest,
  DataType,
  LogLevel,
  StatusCodes,
  setLogLevel,
  Variant,
  VariantArrayType,
} from "node-opcua-client";
import { OPCUAServer } from "node-opcua-server";
import { type Machine, newMachine, order, type Pace, type Register, registers, tick } from "./press/machine.ts";
import { openTruthLog } from "./press/truth-log.ts";

export interface PressOptions {
  /** 0: any free port. Bound to 127.0.0.1. */
  readonly port: number;
  readonly name: string;
  /** What the press set and was given, one JSON line each (press/truth-log.ts). */
  readonly logFile: string;
  /** Its certificates; beside the log file where left out. */
  readonly pkiFolder?: string;
  /** Namespaces that the server carries before the press's own, as companion specifications do. */
  readonly otherNamespaces?: readonly string[];
  readonly pace?: Partial<Pace>;
}

export interface Press {
  readonly endpoint: string;
  readonly port: number;
  /** Ends the sessions and flushes the log. */
  stop(): Promise<void>;
}

export const pressNamespace = "urn:plantgate:demo:press";

const tickMs = 100;

const dataTypes = {
  Strokes: DataType.UInt64,
  Temp: DataType.Double,
  State: DataType.Int32,
  CurrentOrder: DataType.String,
  GoodCount: DataType.UInt32,
  ScrapCount: DataType.UInt32,
} as const satisfies Record<Register, DataType>;

/** UN/ECE Rec 20 code "CEL" as OPC 10000-8 carries it: the code's ASCII bytes, big-endian. */
const degreeCelsius = {
  namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact",
  unitId: Buffer.from("CEL").readUIntBE(0, 3),
  displayName: { text: "°C" },
  description: { text: "degree Celsius" },
};

/**
 * A press as an OPC UA server. An order written to `NextOrder` starts at the next tick and shows in `CurrentOrder`; each write counts as an order,
 * also of the same id. Every value carries its own source timestamp, the one in the log.
 *
 * A subscriber gets every value, whatever sampling interval it asks for: the nodes say MinimumSamplingInterval 0, the server claims
 * MinSupportedSampleRate 0, and requested intervals become 0, which together make node-opcua report by exception. Its sampling timers would
 * miss values on a busy computer, and then nobody could tell a value that a gateway lost from one that it was never given.
 */
export async function startPress(options: PressOptions): Promise<Press> {
  setLogLevel(LogLevel.Error); // the library tells its warnings to the console
  const pkiFolder = options.pkiFolder ?? join(dirname(options.logFile), `${options.name}-pki`);
  await mkdir(pkiFolder, { recursive: true });
  await mkdir(dirname(options.logFile), { recursive: true });
  const log = await openTruthLog(options.logFile);
  const certificates = new OPCUACertificateManager({
    rootFolder: pkiFolder,
    automaticallyAcceptUnknownCertificate: true,
    disableFileWatchers: true,
  });
  const server = new OPCUAServer({
    port: options.port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    serverInfo: { applicationUri: `${pressNamespace}:server:${options.name}`, productUri: pressNamespace },
    buildInfo: { productName: options.name },
    serverCertificateManager: certificates,
    serverCapabilities: { minSupportedSampleRate: 0 },
  });
  await server.initialize();
  const addressSpace = server.engine.addressSpace;
  if (!addressSpace) throw new Error("the server has no address space");
  for (const uri of options.otherNamespaces ?? []) addressSpace.registerNamespace(uri);
  const namespace = addressSpace.registerNamespace(pressNamespace);
  const device = namespace.addObject({
    organizedBy: addressSpace.rootFolder.objects,
    browseName: options.name,
    nodeId: "s=Press",
  });
  const variable = (item: Register) =>
    namespace.addVariable({
      ...common(item),
      dataType: dataTypes[item],
      accessLevel: "CurrentRead",
      userAccessLevel: "CurrentRead",
    });
  const common = (item: Register | "NextOrder") => ({
    componentOf: device,
    browseName: item,
    nodeId: `s=${item}`,
    minimumSamplingInterval: 0,
  });
  const nodes = {
    Strokes: variable("Strokes"),
    Temp: namespace.addAnalogDataItem({
      ...common("Temp"),
      dataType: dataTypes.Temp,
      accessLevel: "CurrentRead",
      userAccessLevel: "CurrentRead",
      engineeringUnits: degreeCelsius,
      engineeringUnitsRange: { low: 0, high: 200 },
    }),
    State: variable("State"),
    CurrentOrder: variable("CurrentOrder"),
    GoodCount: variable("GoodCount"),
    ScrapCount: variable("ScrapCount"),
  };

  const pace: Pace = { strokesPerPiece: 5, piecesPerOrder: 60, scrapEvery: 25, ...options.pace };
  let machine: Machine = newMachine();
  let lastAt = 0;
  const show = (before: Machine | undefined): void => {
    // stamps only rise, whatever the clock of the computer does
    lastAt = Math.max(Date.now(), lastAt + 1);
    const at = new Date(lastAt);
    for (const item of registers) {
      const value = machine.registers[item];
      if (before && before.registers[item] === value) continue;
      nodes[item].setValueFromSource(
        { dataType: dataTypes[item], arrayType: VariantArrayType.Scalar, value: onWire(item, value) },
        StatusCodes.Good,
        at,
      );
      log.note({ at: at.toISOString(), kind: "value", item, value: item === "Strokes" ? String(value) : value });
    }
  };

  let nextOrder = "";
  namespace.addVariable({
    ...common("NextOrder"),
    dataType: DataType.String,
    accessLevel: "CurrentRead | CurrentWrite",
    userAccessLevel: "CurrentRead | CurrentWrite",
    value: {
      get: () => new Variant({ dataType: DataType.String, value: nextOrder }),
      set: (written: Variant) => {
        nextOrder = String(written.value ?? "");
        if (nextOrder !== "") {
          log.note({ at: new Date().toISOString(), kind: "order", moId: nextOrder });
          machine = order(machine, nextOrder);
        }
        return StatusCodes.Good;
      },
    },
  });

  server.on("request", (request) => {
    if (!(request instanceof CreateMonitoredItemsRequest)) return;
    for (const { requestedParameters } of request.itemsToCreate ?? []) requestedParameters.samplingInterval = 0;
  });
  show(undefined);
  await server.start();
  let timer: NodeJS.Timeout | undefined;
  const run = (): void => {
    const before = machine;
    machine = tick(machine, pace);
    show(before);
    // set anew after each tick, so that two are never closer than a tick, however late this one was
    timer = setTimeout(run, tickMs);
  };
  timer = setTimeout(run, tickMs);
  const port = server.endpoints[0]?.port ?? options.port;
  return {
    endpoint: `opc.tcp://127.0.0.1:${port}`,
    port,
    stop: async () => {
      clearTimeout(timer);
      await server.shutdown(0);
      await log.close();
    },
  };
}

/** A 64-bit integer goes as its two halves. */
function onWire(item: Register, value: number | string): number | string | [number, number] {
  if (item !== "Strokes") return value;
  const count = BigInt(value);
  return [Number(count >> 32n), Number(count & 0xffffffffn)];
}
