import { plantFiles } from "../package/documents.ts";

/** The plant of the packages' story, with terminals at the embedded broker and a press, which has a name that Windows keeps for itself. */
export function plantOf(site: string, press: string, brokerPort: number): { name: string; text: string }[] {
  const [template, document] = plantFiles(site);
  const said = JSON.parse(template?.text ?? "") as {
    spec: { connectors: Record<string, unknown>; flows: Record<string, object> };
  };
  const own = JSON.parse(document?.text ?? "") as { spec: { grants: { send: string[] } } };
  const { shortages } = said.spec.flows;
  const users = [{ username: "terminal", password: { secret: "con" }, publish: ["floor/#"] }];
  said.spec.connectors.floor = { type: "mqtt-broker", port: brokerPort, users, grants: { subscribe: ["floor/#"] } };
  said.spec.connectors.aux = {
    type: "opcua",
    endpoint: press,
    items: { temperature: { node: "nsu=urn:plantgate:demo:press;s=Temp", unit: "CEL" } },
  };
  said.spec.flows.terminals = { ...shortages, from: { connector: "floor", topic: "floor/shortages" } };
  said.spec.flows.trends = {
    purpose: "Trends",
    from: { connector: "aux", items: ["temperature"] },
    as: "equipment.sampled",
    to: [{ central: true }],
  };
  own.spec.grants.send.push("equipment.sampled");
  return [
    { name: "template.json", text: JSON.stringify(said) },
    { name: "site.json", text: JSON.stringify(own) },
  ];
}
