import { connectAsync } from "mqtt";
import { payloadOf } from "../documents.ts";
import { brokerPort, user } from "./floor.ts";

/** Publishes messages at QoS 1, each after the one before was acknowledged: floor-child.ts ADDRESS FIRST LAST. */
const [host = "", first, last] = process.argv.slice(2);
const client = await connectAsync({ host, port: brokerPort, ...user, connectTimeout: 60_000, reconnectPeriod: 0 });
for (let n = Number(first); n <= Number(last); n++) await client.publishAsync("wms/shortages", payloadOf(n), { qos: 1 });
await client.endAsync(true);
