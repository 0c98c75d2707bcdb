import { z } from "zod";

export const connectorTypes = ["mqtt", "mqtt-broker", "http", "opcua", "odoo"] as const;

/** A secret by name: read from the file `secrets/<name>` of the gateway's data folder. Never a value. */
export const secretRef = z
  .strictObject({
    secret: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/, "a secret's name: letters, digits, dot, dash")
      .meta({ description: "Its name." }),
  })
  .meta({ description: "A secret by its name, never its value: { secret: wms }." });
export type SecretRef = z.infer<typeof secretRef>;

/** An MQTT topic filter (MQTT 3.1.1, 4.7): `+` stands for a level, `#` for all that follow, and only at the end. */
export const topicFilter = z
  .string()
  .min(1)
  .max(1024)
  .refine(isTopicFilter, "not a topic filter: + and # stand alone in a level, # only at the end");

/** What a connector may do at its broker, and nothing else. */
export const topicGrants = z
  .strictObject({
    subscribe: z.array(topicFilter).default([]).meta({ description: "Topic filters that it may subscribe to." }),
    publish: z.array(topicFilter).default([]).meta({ description: "Topic filters of what it may publish." }),
  })
  .meta({ description: "What it may do at its broker, and nothing else." });

export function isTopicFilter(filter: string): boolean {
  if (/\p{Cc}/u.test(filter)) return false;
  const levels = filter.split("/");
  return levels.every((level, index) => level === "+" || (level === "#" ? index === levels.length - 1 : !/[+#]/.test(level)));
}

/** Whether `topic` matches `filter`. Topics that begin with `$` match no leading wildcard (MQTT 3.1.1, 4.7.2). */
export function topicMatches(filter: string, topic: string): boolean {
  const [f, t] = [filter.split("/"), topic.split("/")];
  if (topic.startsWith("$") && (f[0] === "+" || f[0] === "#")) return false;
  for (let i = 0; i < f.length; i++) {
    if (f[i] === "#") return true;
    if (i >= t.length || (f[i] !== "+" && f[i] !== t[i])) return false;
  }
  return f.length === t.length;
}

/** Whether every topic that `inner` matches is matched by `outer` as well: how a grant covers a subscription. */
export function filterCovers(outer: string, inner: string): boolean {
  const [o, n] = [outer.split("/"), inner.split("/")];
  for (let i = 0; i < o.length; i++) {
    if (o[i] === "#") return true;
    if (i >= n.length || n[i] === "#") return false;
    if (o[i] !== "+" && o[i] !== n[i]) return false;
  }
  return o.length === n.length;
}
