import { DataType, type DataValue, type Variant, VariantArrayType } from "node-opcua-client";
import { type EpochMs, toInstant } from "../../../protocol/index.ts";

/** What `mfg.equipment.sampled.v1` holds (protocol/types/equipment.ts). */
export interface Sample {
  readonly equipment: string;
  readonly item: string;
  readonly value: number | string | boolean | null;
  readonly dataType?: string;
  readonly unitCode?: string;
  readonly statusCode: number;
  readonly quality: "good" | "uncertain" | "bad";
  readonly sourceTimestamp: string;
  readonly serverTimestamp?: string;
  readonly node: string;
  readonly overflow?: true;
}

/** One configured node of the machine, as its samples name it. */
export interface Tag {
  readonly equipment: string;
  readonly item: string;
  /** `nsu=URI;s=…` */
  readonly node: string;
  readonly unitCode?: string | undefined;
}

/** InfoType DataValue with Overflow (OPC 10000-4, 7.39.1): the server dropped values of this item before this one. */
const overflowBits = 0x480;

export function toSample(tag: Tag, dataValue: DataValue, receivedAt: EpochMs): Sample {
  const status = dataValue.statusCode.value >>> 0;
  const variant = dataValue.value;
  const typed = variant && variant.dataType !== DataType.Null;
  const serverAt = instantOf(dataValue.serverTimestamp);
  return {
    equipment: tag.equipment,
    item: tag.item,
    value: toValue(variant),
    ...(typed ? { dataType: typeName(variant) } : {}),
    ...(tag.unitCode === undefined ? {} : { unitCode: tag.unitCode }),
    statusCode: status,
    quality: qualityOf(status),
    // a server that stamps nothing leaves us the next best clock
    sourceTimestamp: instantOf(dataValue.sourceTimestamp) ?? serverAt ?? toInstant(receivedAt),
    ...(serverAt === undefined ? {} : { serverTimestamp: serverAt }),
    node: tag.node,
    ...((status & overflowBits) === overflowBits ? { overflow: true } : {}),
  };
}

/** Severity is the top two bits; info bits never make a good value a bad one. */
export function qualityOf(status: number): Sample["quality"] {
  const severity = status >>> 30;
  return severity === 0 ? "good" : severity === 1 ? "uncertain" : "bad";
}

/**
 * Scalars as equipment.sampled carries them: 64-bit integers as decimal strings, NaN and infinities as null, instants as ISO text, bytes as
 * base64. Arrays become JSON text of the same rules. What has no scalar form (structures) is null; its status and type still tell.
 */
export function toValue(variant: Variant | null | undefined): Sample["value"] {
  if (!variant) return null;
  if (variant.arrayType === VariantArrayType.Scalar) return toScalar(variant.dataType, variant.value);
  const elements =
    is64Bit(variant.dataType) || ArrayBuffer.isView(variant.value) ? Array.from(variant.value ?? []) : variant.value;
  return Array.isArray(elements) ? JSON.stringify(elements.map((element: unknown) => toScalar(variant.dataType, element))) : null;
}

function toScalar(dataType: DataType, value: unknown): Sample["value"] {
  switch (dataType) {
    case DataType.Int64:
    case DataType.UInt64:
      return Array.isArray(value) ? decimal(dataType, Number(value[0]), Number(value[1])) : null;
    case DataType.DateTime:
      return value instanceof Date ? (instantOf(value) ?? null) : null;
    case DataType.ByteString:
      return Buffer.isBuffer(value) ? value.toString("base64") : null;
    case DataType.LocalizedText:
      return textOf(value, "text");
    case DataType.QualifiedName:
      return textOf(value, "name");
    case DataType.StatusCode:
      return numberOf((value as { value?: unknown } | null)?.value);
    case DataType.NodeId:
    case DataType.ExpandedNodeId:
      return value === null || value === undefined ? null : String(value);
    default:
      if (typeof value === "number") return numberOf(value);
      return typeof value === "string" || typeof value === "boolean" ? value : null;
  }
}

/** The library carries 64-bit integers as two 32-bit halves. */
function decimal(dataType: DataType, high: number, low: number): string {
  const bits = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  return String(dataType === DataType.Int64 ? BigInt.asIntN(64, bits) : bits);
}

function is64Bit(dataType: DataType): boolean {
  return dataType === DataType.Int64 || dataType === DataType.UInt64;
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function textOf(value: unknown, field: "text" | "name"): string | null {
  const text = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[field] : undefined;
  return typeof text === "string" ? text : null;
}

function typeName(variant: Variant): string {
  const name = DataType[variant.dataType] ?? String(variant.dataType);
  return variant.arrayType === VariantArrayType.Scalar ? name : `${name}[]`;
}

/** 1601-01-01 and earlier is how OPC UA says "no date". */
function instantOf(date: Date | null | undefined): string | undefined {
  if (!date || Number.isNaN(date.getTime()) || date.getUTCFullYear() <= 1601 || date.getUTCFullYear() > 9998) return undefined;
  return toInstant(date.getTime());
}

/**
 * The UN/ECE Rec 20 code of an EUInformation value: its unitId is the code's ASCII bytes, big-endian (OPC 10000-8, 5.6.4.3). Undefined for
 * other name spaces of units and for "no unit" (-1).
 */
export function unitCodeOf(engineeringUnits: unknown): string | undefined {
  const { namespaceUri, unitId } = (engineeringUnits ?? {}) as { namespaceUri?: unknown; unitId?: unknown };
  if (namespaceUri !== "http://www.opcfoundation.org/UA/units/un/cefact" || typeof unitId !== "number" || unitId <= 0)
    return undefined;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(unitId >>> 0);
  const code = bytes.toString("latin1").replace(/^\0+/, "");
  return /^[A-Z0-9]{1,4}$/.test(code) ? code : undefined;
}
