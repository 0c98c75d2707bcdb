import { z } from "zod";
import { duration } from "../measure.ts";
import { secretRef, topicFilter, topicGrants } from "./shared.ts";

/** Client of the plant's own broker. Persistent session; QoS 1 at most (QoS 2 would be answered from memory). */
export const mqttConnector = z.strictObject({
  type: z.literal("mqtt"),
  url: z.url({ protocol: /^(mqtts?|wss?)$/ }).meta({ description: "Broker, such as mqtts://broker.plant:8883." }),
  version: z.enum(["3.1.1", "5"]).default("5").meta({ description: "MQTT version that is spoken." }),
  clientId: z.string().min(1).max(65).optional().meta({ description: "Default: plantgate-<site>-<connector>." }),
  username: z.string().optional().meta({ description: "By which the broker knows it." }),
  password: secretRef.optional(),
  keepAlive: duration.default("15s").meta({ description: "Without a sign of life for so long the link counts as broken." }),
  sessionExpiry: duration
    .default("7d")
    .meta({ description: "How long the broker keeps messages for a gateway that is away (MQTT 5)." }),
  grants: topicGrants,
});
export type MqttConnectorConfig = z.infer<typeof mqttConnector>;

/** A broker inside the gateway, for plants without one. Speaks MQTT 3.1.1. */
export const mqttBrokerConnector = z.strictObject({
  type: z.literal("mqtt-broker"),
  host: z.string().default("127.0.0.1").meta({ description: "Address to listen on; loopback unless said otherwise." }),
  port: z.int().min(0).max(65535).meta({ description: "Port to listen on; 0: any free one." }),
  users: z
    .array(
      z.strictObject({
        username: z.string().min(1).meta({ description: "Its name." }),
        password: secretRef,
        publish: z.array(topicFilter).meta({ description: "Topic filters of what it may publish." }),
        subscribe: z.array(topicFilter).default([]).meta({ description: "Topic filters that it may subscribe to." }),
      }),
    )
    .min(1)
    .meta({ description: "Who may connect, and the topics that each may publish and subscribe to." }),
  relay: z.array(topicFilter).default([]).meta({
    description:
      "Topics that are traffic between devices also while nobody listens: acknowledged and forwarded, never recorded, unless a flow takes them. On any other topic that no flow takes, what no connected client has subscribed to is a dead letter.",
  }),
  grants: topicGrants,
});
export type MqttBrokerConnectorConfig = z.infer<typeof mqttBrokerConnector>;
