import { PlantgateError } from "../base/error.ts";
import { makeEvent } from "../message.ts";
import type { CompiledFlow } from "./compiled-flow.ts";
import { decodeJson, decodeJsonText } from "./decode.ts";
import { renderDelivery } from "./deliver.ts";
import { mapInput, runSteps } from "./map.ts";

/** One example of a flow: what comes in, as the system sends it, and what has to become of it. */
export interface Example {
  readonly given: string;
  readonly expect: string;
  readonly topic?: string;
}

const recordedAt = Date.UTC(2026, 0, 1);

/**
 * Runs an example. What is expected is a list. Of a local source: the messages, each `{ data }` and, where it matters, `type`, `key`,
 * `idempotencyKey`, `site`. Of messages from central: the deliveries in the order of `to`, each `{ to, topic | path | item | operation,
 * body | value }`. An input that has to be refused: `{ "refused": "KEY_INCOMPLETE" }`.
 * @returns what differs, in words; nothing where all is as expected
 */
export async function runExample(flow: CompiledFlow, example: Example): Promise<string[]> {
  let expected: unknown;
  try {
    expected = decodeJsonText(example.expect);
  } catch (error) {
    return [`the expected result cannot be read: ${error instanceof Error ? error.message : ""}`];
  }
  let actual: unknown;
  try {
    actual = flow.type ? await messagesOf(flow, example, expected) : await deliveriesOf(flow, example);
  } catch (error) {
    if (!(error instanceof PlantgateError)) throw error;
    if (isObject(expected) && "refused" in expected) {
      return expected.refused === error.code
        ? []
        : [`is refused with ${error.code} instead of ${String(expected.refused)}: ${error.message}`];
    }
    return [`${error.code}: ${error.message}`];
  }
  if (isObject(expected) && "refused" in expected) return [`should be refused with ${String(expected.refused)}, and is not`];
  return differences(expected, actual, "").slice(0, 10);
}

async function messagesOf(flow: CompiledFlow, example: Example, expected: unknown): Promise<unknown> {
  let count = 0;
  const body = new TextEncoder().encode(example.given);
  const [source] = flow.sources;
  const topic = example.topic ?? (source && "topic" in source && !/[+#]/.test(source.topic) ? source.topic : undefined);
  const mapped = await runSteps(
    mapInput(flow, {
      connector: source?.connector ?? "example",
      ...(topic === undefined ? {} : { topic }),
      body,
      inputHash: "0".repeat(64),
      recordedAt,
      newId: () => `example-${++count}`,
    }),
  );
  return mapped.messages.map(({ event }, index) => {
    const all: Record<string, unknown> = {
      data: event.data,
      type: event.type,
      key: event.partitionkey,
      idempotencyKey: event.idempotencykey,
      site: event.targetsite,
    };
    const wanted: unknown = Array.isArray(expected) ? expected[index] : undefined;
    // only what the example speaks of is compared, and the data always
    return Object.fromEntries(
      Object.entries(all).filter(([name]) => name === "data" || (isObject(wanted) && Object.hasOwn(wanted, name))),
    );
  });
}

async function deliveriesOf(flow: CompiledFlow, example: Example): Promise<unknown> {
  const given = decodeJsonText(example.given);
  const [only] = flow.central?.types ?? [];
  const named =
    isObject(given) && typeof given.type === "string" && isObject(given.data)
      ? { type: given.type, data: given.data }
      : undefined;
  const event = makeEvent(named?.type ?? only ?? "", named?.data ?? given, {
    id: "example-1",
    site: flow.site,
    connector: "example",
    recordedAt,
  });
  const deliveries: unknown[] = [];
  const seen = new Set<number>();
  for (const destination of flow.destinations) {
    // a group's instances all get the same; the example shows it once, under the group's name
    if (seen.has(destination.writtenAs)) continue;
    seen.add(destination.writtenAs);
    const { key: _key, ...delivery } = await runSteps(renderDelivery(destination, event));
    const written = flow.config.to[destination.writtenAs];
    const to = written && "connector" in written ? written.connector : destination.config.connector;
    deliveries.push(
      delivery.kind === "topic"
        ? { to, topic: delivery.topic, body: decodeJson(delivery.body) }
        : delivery.kind === "post"
          ? { to, path: delivery.path, body: decodeJson(delivery.body) }
          : delivery.kind === "write"
            ? { to, item: delivery.item, value: delivery.value }
            : { to, operation: delivery.operation },
    );
  }
  return deliveries;
}

function differences(expected: unknown, actual: unknown, path: string): string[] {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    const counts =
      expected.length === actual.length ? [] : [`${path || "the result"}: ${expected.length} expected, ${actual.length} came`];
    return [
      ...counts,
      ...expected.flatMap((item, index) => (index < actual.length ? differences(item, actual[index], `${path}[${index}]`) : [])),
    ];
  }
  if (isObject(expected) && isObject(actual)) {
    const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    return [...names].flatMap((name) => differences(expected[name], actual[name], path === "" ? name : `${path}.${name}`));
  }
  return Object.is(expected, actual) ? [] : [`${path || "the result"}: expected ${written(expected)}, got ${written(actual)}`];
}

function written(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value).slice(0, 200);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
