import { fileURLToPath } from "node:url";
import { plantFiles } from "../documents.ts";
import type { MachineNetwork } from "../network.ts";
import { must } from "../programs.ts";

export const brokerPort = 1883;
export const user = { username: "terminal", password: "of this test alone" };

/** The plant of the other stories, whose warehouse speaks MQTT to the gateway's own broker. */
export function floorFiles(site: string, address: string): { name: string; text: string }[] {
  const [template, ...others] = plantFiles(site);
  const document = JSON.parse(template?.text ?? "") as {
    spec: { connectors: unknown; flows: { shortages: { from: unknown } } };
  };
  document.spec.connectors = {
    floor: {
      type: "mqtt-broker",
      host: address,
      port: brokerPort,
      users: [{ username: user.username, password: { secret: secret.name }, publish: ["wms/#"] }],
      grants: { subscribe: ["wms/#"] },
    },
  };
  document.spec.flows.shortages.from = { connector: "floor", topic: "wms/shortages" };
  return [{ name: "template.json", text: JSON.stringify(document) }, ...others];
}

/** What the broker knows its user by. */
export const secret = { name: "terminal", value: user.password } as const;

/** Publishes the messages `first` to `last` from within the plant's network; resolves when all are acknowledged. */
export async function publish({ name, inside }: MachineNetwork, first: number, last: number): Promise<void> {
  const enter = ["nsenter", `--net=/run/netns/${name}`];
  const child = fileURLToPath(new URL("floor-child.ts", import.meta.url));
  await must([...enter, process.execPath, child, inside, String(first), String(last)], { timeoutMs: 180_000 });
}
