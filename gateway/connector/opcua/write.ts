import {
  AttributeIds,
  type ClientSession,
  coerceNodeId,
  DataType,
  type DataValue,
  type NodeId,
  type StatusCode,
  Variant,
  VariantArrayType,
} from "node-opcua-client";
import { describeError } from "../../../protocol/index.ts";
import type { Outcome, Verdict } from "../connector.ts";
import { faultOf } from "./nodes.ts";
import { toValue } from "./sample.ts";

type Written = string | number | boolean;

/** The node as it was before a write: what `verify` compares with. */
export interface Before {
  readonly value: ReturnType<typeof toValue>;
  readonly sourceTimestamp: number | undefined;
}

/** The server answered that it did nothing now and may do it later. */
const passing = new Set([
  "BadTooManyOperations",
  "BadResourceUnavailable",
  "BadOutOfMemory",
  "BadServerHalted",
  "BadShutdown",
  "BadServerNotConnected",
  "BadNotConnected",
  "BadNoCommunication",
  "BadOutOfService",
  "BadWaitingForInitialData",
  "BadSessionIdInvalid",
  "BadSessionClosed",
  "BadSessionNotActivated",
  "BadSecureChannelIdInvalid",
  "BadSecureChannelClosed",
]);
/** The server asked the device and does not know. */
const uncertain = new Set(["BadTimeout", "BadCommunicationError", "BadUnexpectedError", "BadInternalError", "BadRequestTimeout"]);

/** One write with the node's own data type. `before` is told what stood there as soon as that is known, ahead of the write. */
export async function writeValue(
  session: ClientSession,
  nodeId: NodeId,
  value: Written,
  before: (state: Before) => void,
): Promise<Outcome> {
  let variant: Variant;
  try {
    const [type, current] = await session.read([
      { nodeId, attributeId: AttributeIds.DataType },
      { nodeId, attributeId: AttributeIds.Value },
    ]);
    if (!type || !current) return { kind: "retry", reason: "the server gave no answer for the node" };
    if (!type.statusCode.isGood()) return judged(type.statusCode, "the node's data type could not be read");
    const dataType = await builtInType(session, nodeId, type, current);
    const coerced = coerce(dataType, value);
    if (coerced === undefined)
      return { kind: "refused", reason: `the node holds ${DataType[dataType]}, which ${JSON.stringify(value)} is not` };
    variant = new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: coerced });
    before(stateOf(current));
  } catch (error) {
    const fault = faultOf(error);
    return fault
      ? judged(fault, "the server refused to read the node")
      : { kind: "retry", reason: `nothing was sent: ${describeError(error)}` };
  }
  try {
    // no timestamps: most servers refuse a write that sets them (BadWriteNotSupported)
    const status = await session.write({ nodeId, attributeId: AttributeIds.Value, value: { value: variant } });
    return status.isGood()
      ? { kind: "done", ...(status.value === 0 ? {} : { detail: status.name }) }
      : judged(status, "the server refused the write");
  } catch (error) {
    const fault = faultOf(error);
    // no answer says nothing about the machine: a request that timed out here was seen to be carried out there
    return fault
      ? judged(fault, "the server refused the write")
      : { kind: "unknown", reason: `no answer to the write: ${describeError(error)}` };
  }
}

/**
 * Whether the node holds `value` now. A node that a machine consumes may hold something else although the write happened; that it did not is only
 * certain while the node is exactly as it was before the attempt, value and timestamp.
 */
export async function verifyValue(
  session: ClientSession,
  nodeId: NodeId,
  value: Written,
  before: Before | undefined,
): Promise<Verdict> {
  let current: DataValue;
  try {
    current = await session.read({ nodeId, attributeId: AttributeIds.Value });
  } catch (error) {
    return { kind: "cannot-tell", reason: `the node could not be read: ${describeError(error)}` };
  }
  if (!current.statusCode.isGood()) return { kind: "cannot-tell", reason: `the node reads ${current.statusCode.name}` };
  const now = stateOf(current);
  const wanted = coerce(current.value.dataType, value);
  const expected =
    wanted === undefined
      ? undefined
      : toValue(new Variant({ dataType: current.value.dataType, arrayType: VariantArrayType.Scalar, value: wanted }));
  if (expected !== undefined && now.value === expected) return { kind: "done", detail: "the node holds the value" };
  if (
    before &&
    before.value === now.value &&
    before.sourceTimestamp !== undefined &&
    before.sourceTimestamp === now.sourceTimestamp
  ) {
    return { kind: "not-done" };
  }
  return { kind: "cannot-tell", reason: "the node holds another value: it was not written, or the machine has taken it already" };
}

function stateOf(dataValue: DataValue): Before {
  return { value: toValue(dataValue.value), sourceTimestamp: dataValue.sourceTimestamp?.getTime() };
}

function judged(status: StatusCode, what: string): Outcome {
  const reason = `${what}: ${status.name}`;
  if (passing.has(status.name)) return { kind: "retry", reason };
  return uncertain.has(status.name) ? { kind: "unknown", reason } : { kind: "refused", reason };
}

/** The node's own built-in type; of a node that takes any type, the type of what it holds. */
async function builtInType(session: ClientSession, nodeId: NodeId, type: DataValue, current: DataValue): Promise<DataType> {
  const declared: unknown = type.value.value;
  const known = coerceNodeId(String(declared));
  if (
    known.namespace === 0 &&
    typeof known.value === "number" &&
    known.value >= DataType.Boolean &&
    known.value <= DataType.LocalizedText
  )
    return known.value;
  const held = current.value?.dataType ?? DataType.Null;
  return held === DataType.Null ? await session.getBuiltInDataType(nodeId) : held;
}

const integerRanges: Partial<Record<DataType, readonly [bigint, bigint]>> = {
  [DataType.SByte]: [-128n, 127n],
  [DataType.Byte]: [0n, 255n],
  [DataType.Int16]: [-32_768n, 32_767n],
  [DataType.UInt16]: [0n, 65_535n],
  [DataType.Int32]: [-2_147_483_648n, 2_147_483_647n],
  [DataType.UInt32]: [0n, 4_294_967_295n],
  [DataType.Int64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [DataType.UInt64]: [0n, 2n ** 64n - 1n],
};

/** The value as the library takes it for `dataType`; undefined where it does not fit. Numbers may come as decimal text, as mappings often make them. */
export function coerce(dataType: DataType, value: Written): unknown {
  const range = integerRanges[dataType];
  if (range) {
    const text = String(value);
    if (typeof value === "boolean" || !/^-?\d{1,20}$/.test(text)) return undefined;
    const integer = BigInt(text);
    if (integer < range[0] || integer > range[1]) return undefined;
    if (dataType !== DataType.Int64 && dataType !== DataType.UInt64) return Number(integer);
    const bits = BigInt.asUintN(64, integer);
    return [Number(bits >> 32n), Number(bits & 0xffffffffn)];
  }
  switch (dataType) {
    case DataType.Boolean:
      return typeof value === "boolean" ? value : undefined;
    case DataType.Float:
    case DataType.Double: {
      const number = typeof value === "string" && /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(value) ? Number(value) : value;
      if (typeof number !== "number") return undefined;
      // the node will hold the nearest single-precision value: what is read back is compared with that
      const held = dataType === DataType.Float ? Math.fround(number) : number;
      return Number.isFinite(held) ? held : undefined;
    }
    case DataType.String:
      return typeof value === "string" ? value : undefined;
    case DataType.LocalizedText:
      return typeof value === "string" ? { text: value } : undefined;
    case DataType.DateTime: {
      const date = typeof value === "string" ? new Date(value) : undefined;
      return date && !Number.isNaN(date.getTime()) ? date : undefined;
    }
    default:
      return undefined;
  }
}
