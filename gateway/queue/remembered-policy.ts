import { defaultQueuePolicy, durationPattern, parseJson, type QueuePolicy, sizePattern } from "../../protocol/index.ts";

interface Remembered {
  readonly lanes?: Partial<QueuePolicy["lanes"]>;
  readonly encryption?: Partial<QueuePolicy["encryption"]>;
}

/**
 * The policy as the queue's file keeps it. It was valid when it was written: what an older version did not know takes its default, and where
 * anything has not its form, all of it does. By hand: the schema's library would cost a start more time than opening the file.
 */
export function parseRememberedPolicy(text: string): QueuePolicy {
  const { lanes, encryption } = (parseJson(text) ?? {}) as Remembered;
  const policy: QueuePolicy = {
    lanes: {
      transaction: { ...defaultQueuePolicy.lanes.transaction, ...lanes?.transaction },
      bulk: { ...defaultQueuePolicy.lanes.bulk, ...lanes?.bulk },
      telemetry: { ...defaultQueuePolicy.lanes.telemetry, ...lanes?.telemetry },
    },
    encryption: { ...defaultQueuePolicy.encryption, ...encryption },
  };
  return hasItsForm(policy) ? policy : defaultQueuePolicy;
}

function hasItsForm({ lanes, encryption }: QueuePolicy): boolean {
  const { maxMessages, maxAge } = lanes.telemetry;
  return (
    [lanes.transaction, lanes.bulk, lanes.telemetry].every(({ maxBytes }) => sizePattern.test(maxBytes)) &&
    (maxMessages === undefined || Number.isInteger(maxMessages)) &&
    (maxAge === undefined || durationPattern.test(maxAge)) &&
    typeof encryption.atRest === "boolean" &&
    durationPattern.test(encryption.rotateEvery)
  );
}
