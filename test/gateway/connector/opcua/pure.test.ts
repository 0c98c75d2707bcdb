import { EventEmitter } from "node:events";
import {
  type ClientSession,
  type ClientSubscription,
  DataChangeNotification,
  DataType,
  DataValue,
  NodeId,
  NotificationMessage,
  StatusCodes,
  Variant,
  VariantArrayType,
} from "node-opcua-client";
import { describe, expect, it } from "vitest";
import { Continuity } from "../../../../gateway/connector/opcua/continuity.ts";
import { toNodeId } from "../../../../gateway/connector/opcua/nodes.ts";
import { takeNotifications } from "../../../../gateway/connector/opcua/notifications.ts";
import { toReason } from "../../../../gateway/connector/opcua/reason.ts";
import { qualityOf, type Sample, toSample, unitCodeOf } from "../../../../gateway/connector/opcua/sample.ts";
import { coerce, verifyValue } from "../../../../gateway/connector/opcua/write.ts";
import { opcuaConnector } from "../../../../protocol/connector/opcua.ts";
import { equipmentSampled } from "../../../../protocol/types/equipment.ts";

const tag = { equipment: "press-7", item: "x", node: "nsu=urn:p;s=X" };
const receivedAt = Date.UTC(2026, 0, 31, 8);
const sampled = (dataType: DataType, value: unknown, more: object = {}): Sample => {
  const arrayType =
    Array.isArray(value) && dataType !== DataType.UInt64 && dataType !== DataType.Int64
      ? VariantArrayType.Array
      : VariantArrayType.Scalar;
  const sample = toSample(
    tag,
    new DataValue({ value: new Variant({ dataType, arrayType, value }), sourceTimestamp: new Date(receivedAt), ...more }),
    receivedAt,
  );
  equipmentSampled.data.parse(sample);
  return sample;
};

describe("a value", () => {
  it("of 64 bits stays exact as decimal text", () => {
    expect(sampled(DataType.UInt64, [0xffffffff, 0xffffffff]).value).toBe("18446744073709551615");
    expect(sampled(DataType.UInt64, [2_097_152, 1]).value).toBe("9007199254740993");
    expect(sampled(DataType.Int64, [0xffffffff, 0xffffffff]).value).toBe("-1");
    expect(sampled(DataType.Int64, [0x80000000, 0]).value).toBe("-9223372036854775808");
  });

  it("that JSON cannot hold is null", () => {
    expect(sampled(DataType.Double, Number.NaN).value).toBeNull();
    expect(sampled(DataType.Float, Number.NEGATIVE_INFINITY).value).toBeNull();
    expect(sampled(DataType.DateTime, new Date(Date.UTC(1601, 0, 1))).value).toBeNull();
  });

  it("of a date, of bytes and of an array has a text form", () => {
    expect(sampled(DataType.DateTime, new Date(receivedAt)).value).toBe("2026-01-31T08:00:00.000Z");
    expect(sampled(DataType.ByteString, Buffer.from("hi")).value).toBe("aGk=");
    expect(sampled(DataType.Double, [1, 2.5]).value).toBe("[1,2.5]");
    expect(sampled(DataType.Double, [1, 2.5]).dataType).toBe("Double[]");
  });

  it("keeps the status whole, and info bits do not make it bad", () => {
    expect(sampled(DataType.Double, 1, { statusCode: StatusCodes.GoodWithOverflowBit })).toMatchObject({
      statusCode: 0x480,
      quality: "good",
      overflow: true,
    });
    expect(sampled(DataType.Double, 1, { statusCode: StatusCodes.UncertainSensorNotAccurate }).quality).toBe("uncertain");
    expect(qualityOf(0x80000000)).toBe("bad");
    const bad = toSample(tag, new DataValue({ statusCode: StatusCodes.BadSensorFailure }), receivedAt);
    expect(bad).toMatchObject({ value: null, quality: "bad", sourceTimestamp: "2026-01-31T08:00:00.000Z" });
  });

  it("has the unit that EUInformation encodes", () => {
    const namespaceUri = "http://www.opcfoundation.org/UA/units/un/cefact";
    expect(unitCodeOf({ namespaceUri, unitId: 4_408_652 })).toBe("CEL");
    expect(unitCodeOf({ namespaceUri, unitId: 20_529 })).toBe("P1");
    expect(unitCodeOf({ namespaceUri, unitId: -1 })).toBeUndefined();
    expect(unitCodeOf({ namespaceUri: "urn:own", unitId: 4_408_652 })).toBeUndefined();
    expect(unitCodeOf(null)).toBeUndefined();
  });
});

describe("a node address", () => {
  it("follows its namespace to whatever index the server gives it", () => {
    expect(toNodeId("nsu=urn:p;s=Temp", ["ua", "own", "urn:p"])?.toString()).toBe("ns=2;s=Temp");
    expect(toNodeId("nsu=urn:p;s=Temp", ["ua", "urn:p"])?.toString()).toBe("ns=1;s=Temp");
    expect(toNodeId("i=2258", ["ua"])?.toString()).toBe("ns=0;i=2258");
    expect(toNodeId("nsu=urn:p;s=Temp", ["ua"])).toBeUndefined();
  });
});

describe("a value to write", () => {
  it("fits the node's type exactly or not at all", () => {
    expect(coerce(DataType.Int16, 40_000)).toBeUndefined();
    expect(coerce(DataType.Int16, "-5")).toBe(-5);
    expect(coerce(DataType.UInt64, "18446744073709551615")).toEqual([0xffffffff, 0xffffffff]);
    expect(coerce(DataType.UInt64, "18446744073709551616")).toBeUndefined();
    expect(coerce(DataType.Int64, -1)).toEqual([0xffffffff, 0xffffffff]);
    expect(coerce(DataType.Int32, 1.5)).toBeUndefined();
    expect(coerce(DataType.Boolean, "true")).toBeUndefined();
    expect(coerce(DataType.String, 7)).toBeUndefined();
    expect(coerce(DataType.Double, "2.5e3")).toBe(2500);
    expect(coerce(DataType.Double, "")).toBeUndefined();
  });

  it("is what a single-precision node will hold, so that it is recognised when it is read back", async () => {
    expect(coerce(DataType.Float, "21.7")).toBe(Math.fround(21.7));
    expect(coerce(DataType.Float, 1e300)).toBeUndefined();
    expect(coerce(DataType.Double, 21.7)).toBe(21.7);
    const held = new Variant({ dataType: DataType.Float, value: Math.fround(21.7) });
    const session = { read: async () => new DataValue({ value: held }) } as unknown as ClientSession;
    expect(await verifyValue(session, new NodeId(), 21.7, undefined)).toMatchObject({ kind: "done" });
  });
});

describe("continuity", () => {
  const at = (second: number, value = second, more: Partial<Sample> = {}): Sample => ({
    ...tag,
    value,
    statusCode: 0,
    quality: "good",
    sourceTimestamp: `2026-01-31T08:00:0${second}.000Z`,
    ...more,
  });

  it("states no hole before the first sample ever", () => {
    const continuity = new Continuity(undefined);
    continuity.doubt("session-lost");
    expect(continuity.admit(at(1))).toEqual({ kind: "sample" });
    expect(continuity.admit(at(2))).toEqual({ kind: "sample" });
  });

  it("skips the sample on disk after a restart, and states the hole when it is another", () => {
    expect(new Continuity(at(1).sourceTimestamp).admit(at(1))).toEqual({ kind: "repeat" });
    const continuity = new Continuity(at(1).sourceTimestamp);
    continuity.doubt("session-lost");
    expect(continuity.admit(at(3))).toMatchObject({
      interrupted: { after: at(1).sourceTimestamp, until: at(3).sourceTimestamp, cause: "gateway-restarted" },
    });
    expect(continuity.admit(at(4))).toEqual({ kind: "sample" });
  });

  it("states the hole of an overflow, once", () => {
    const continuity = new Continuity(undefined);
    continuity.admit(at(1));
    expect(continuity.admit(at(5, 5, { overflow: true }))).toMatchObject({
      interrupted: { after: at(1).sourceTimestamp, cause: "queue-overflow" },
    });
    expect(continuity.admit(at(6))).toEqual({ kind: "sample" });
  });

  it("takes another value of the same instant as a sample of its own", () => {
    const continuity = new Continuity(undefined);
    continuity.admit(at(1, 7));
    expect(continuity.admit(at(1, 7))).toEqual({ kind: "repeat" });
    expect(continuity.admit(at(1, 8))).toEqual({ kind: "sample" });
  });
});

describe("notifications", () => {
  const message = (sequenceNumber: number, values: readonly number[]): NotificationMessage =>
    new NotificationMessage({
      sequenceNumber,
      notificationData:
        values.length === 0
          ? []
          : [
              new DataChangeNotification({
                monitoredItems: values.map((value) => ({ clientHandle: 1, value: { value: { dataType: "Double", value } } })),
              }),
            ],
    });
  const subscribed = () => {
    const subscription = Object.assign(new EventEmitter(), { lastSequenceNumber: -1 });
    const seen: (number | "hole")[] = [];
    takeNotifications(subscription as unknown as ClientSubscription, {
      alive: () => {},
      hole: () => seen.push("hole"),
      values: (reported) => seen.push(...reported.map(({ dataValue }) => dataValue.value.value as number)),
    });
    // as the library does: it notes the number first, also of a keep-alive
    const arrive = (notification: NotificationMessage): void => {
      subscription.lastSequenceNumber = notification.sequenceNumber;
      subscription.emit("raw_notification", notification);
    };
    return { subscription, seen, arrive };
  };

  it("tell a missing message before the values that follow it, and a replayed one not twice", () => {
    const { seen, arrive } = subscribed();
    arrive(message(1, [10, 11]));
    arrive(message(4, [13]));
    arrive(message(4, [13]));
    arrive(message(5, [14]));
    expect(seen).toEqual([10, 11, "hole", 13, 14]);
  });

  it("keep-alives carry the next number and move nothing", () => {
    const { subscription, seen, arrive } = subscribed();
    arrive(message(1, []));
    expect(subscription.lastSequenceNumber).toBe(0);
    arrive(message(1, [10]));
    arrive(message(2, []));
    arrive(message(2, []));
    expect(subscription.lastSequenceNumber).toBe(1);
    arrive(message(2, [11]));
    expect(seen).toEqual([10, 11]);
  });

  it("go on at 1 after the highest number", () => {
    const { seen, arrive } = subscribed();
    arrive(message(0xffffffff, [1]));
    arrive(message(1, [2]));
    expect(seen).toEqual(["hole", 1, 2]);
  });
});

describe("a reason", () => {
  const config = opcuaConnector.parse({
    type: "opcua",
    endpoint: "opc.tcp://press:4840",
    security: { mode: "Sign", policy: "Basic256Sha256" },
    items: {},
  });
  const reason = (text: string, refused?: string): string => toReason(new Error(text), { config, refused, own: "ab12" });

  it("says what a person can do, of whatever the library says", () => {
    expect(reason("server Certificate verification failed with err BadCertificateUntrusted", "cd34")).toMatch(
      /add its SHA-1 thumbprint to trust: cd34/,
    );
    expect(reason("The connection has been rejected by server: BadSecurityChecksFailed (0x80130000)")).toMatch(
      /trust it on the server.*ab12/,
    );
    expect(
      reason("The connection may have been rejected by server,\n Err = (socket has been disconnected by third party)"),
    ).toMatch(/trust it on/);
    expect(reason("The connection may have been rejected by server,\n Err = (Timeout(A) in waiting for data on socket)")).toBe(
      "no answer from opc.tcp://press:4840",
    );
    expect(reason("BadUserAccessDenied (0x801f0000)")).toContain("user name or the password");
    expect(reason("something new\nand more")).toBe("something new");
  });
});
