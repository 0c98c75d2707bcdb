import {
  AttributeIds,
  type ClientSession,
  type ClientSessionRawSubscriptionService,
  type ClientSubscription,
  coerceNodeId,
  type DataValue,
  MonitoringMode,
  makeBrowsePath,
  type NodeId,
  type ReadValueIdOptions,
  readOperationLimits,
  StatusCodes,
  TimestampsToReturn,
  VariableIds,
} from "node-opcua-client";
import { durationMs, type OpcuaConnectorConfig } from "../../../protocol/index.ts";
import { type Tag, unitCodeOf } from "./sample.ts";

type ItemConfig = OpcuaConnectorConfig["items"][string];

export interface Node {
  readonly item: string;
  readonly config: ItemConfig;
  readonly nodeId: NodeId;
  readonly tag: Tag;
}

/** Operations per request that we are content with, whatever the server would allow. */
const widestRequest = 200;

/** Indexes of namespaces, as this session's server numbers them now: they may change with its restart. */
export async function readNamespaces(session: ClientSession): Promise<readonly string[]> {
  const answer = await session.read({ nodeId: coerceNodeId(VariableIds.Server_NamespaceArray), attributeId: AttributeIds.Value });
  const uris: unknown = answer.value?.value;
  return Array.isArray(uris) ? uris.map(String) : [];
}

/** The node id of an address by namespace URI; undefined where the server does not have that namespace. */
export function toNodeId(address: string, namespaces: readonly string[]): NodeId | undefined {
  const match = /^(?:nsu=([^;]+);)?([isgb]=.+)$/s.exec(address);
  if (!match?.[2]) return undefined;
  const index = match[1] === undefined ? 0 : namespaces.indexOf(match[1]);
  return index < 0 ? undefined : coerceNodeId(`ns=${index};${match[2]}`);
}

/** How many operations one request may hold. The limits are optional for a server, and zero means none. */
export async function requestWidth(session: ClientSession): Promise<number> {
  try {
    const limits = await readOperationLimits(session);
    const stated = [limits.maxNodesPerRead, limits.maxMonitoredItemsPerCall, limits.maxNodesPerTranslateBrowsePathsToNodeIds];
    return Math.min(widestRequest, ...stated.filter((limit): limit is number => typeof limit === "number" && limit > 0));
  } catch {
    return widestRequest;
  }
}

/** Reads many attributes, a bounded number per request. */
export async function readAll(
  session: ClientSession,
  wanted: readonly ReadValueIdOptions[],
  width: number,
): Promise<DataValue[]> {
  const answers: DataValue[] = [];
  for (const part of chunks(wanted, width)) answers.push(...(await session.read([...part])));
  return answers;
}

/** Units that the machine states itself: node's property EngineeringUnits. A server that has none, or refuses, leaves them out. */
export async function readUnits(
  session: ClientSession,
  nodeIds: readonly NodeId[],
  width: number,
): Promise<(string | undefined)[]> {
  const units: (string | undefined)[] = nodeIds.map(() => undefined);
  try {
    const properties: { position: number; nodeId: NodeId }[] = [];
    let position = 0;
    for (const part of chunks(nodeIds, width)) {
      const found = await session.translateBrowsePath(part.map((nodeId) => makeBrowsePath(nodeId, ".EngineeringUnits")));
      for (const result of found) {
        const target = result.statusCode.isGood() ? result.targets?.[0]?.targetId : undefined;
        if (target) properties.push({ position, nodeId: target });
        position += 1;
      }
    }
    const values = await readAll(
      session,
      properties.map(({ nodeId }) => ({ nodeId, attributeId: AttributeIds.Value })),
      width,
    );
    for (const [at, value] of values.entries()) {
      const property = properties[at];
      if (property) units[property.position] = unitCodeOf(value.value?.value);
    }
  } catch {
    return units;
  }
  return units;
}

/**
 * Creates the monitored items, a bounded number per request, half as many where the server finds that too many.
 * @returns the status of each, in the order given. Client handles count from `firstHandle`.
 */
export async function monitor(
  session: ClientSession,
  subscription: ClientSubscription,
  nodes: readonly Node[],
  firstHandle: number,
  width: number,
): Promise<{ readonly good: boolean; readonly status: string }[]> {
  const results: { good: boolean; status: string }[] = [];
  while (results.length < nodes.length) {
    const part = nodes.slice(results.length, results.length + width);
    const handle = firstHandle + results.length;
    try {
      // as raw service, not through the library's monitored items: those it would create again by itself, unchecked, on a new session
      const raw = session as ClientSession & ClientSessionRawSubscriptionService;
      const response = await raw.createMonitoredItems({
        subscriptionId: subscription.subscriptionId,
        timestampsToReturn: TimestampsToReturn.Both,
        itemsToCreate: part.map(({ nodeId, config }, index) => ({
          itemToMonitor: { nodeId, attributeId: AttributeIds.Value },
          monitoringMode: MonitoringMode.Reporting,
          requestedParameters: {
            clientHandle: handle + index,
            samplingInterval: durationMs(config.sampling),
            queueSize: config.queueSize,
            discardOldest: true,
          },
        })),
      });
      for (const { statusCode } of response.results ?? []) results.push({ good: statusCode.isGood(), status: statusCode.name });
      if ((response.results?.length ?? 0) < part.length)
        throw new Error("the server answered for fewer items than were asked for");
    } catch (error) {
      if (width > 1 && faultOf(error)?.equals(StatusCodes.BadTooManyOperations)) width = Math.ceil(width / 2);
      else throw error;
    }
  }
  return results;
}

/** The status with which the server refused a whole request; undefined when it did not answer at all. */
export function faultOf(error: unknown) {
  const response = (error as { response?: { responseHeader?: { serviceResult?: typeof StatusCodes.Good } } } | undefined)
    ?.response;
  return response?.responseHeader?.serviceResult;
}

function* chunks<T>(all: readonly T[], width: number): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += width) yield all.slice(from, from + width);
}
