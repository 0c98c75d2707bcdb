import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDocument, stringify } from "yaml";
import { type DocumentProblem, validateDocuments } from "../../../protocol/index.ts";

/** A fault is marked in front of where it is named: `«path»`; a path that begins with a dot goes on from the one before. */
const template = `apiVersion: plantgate/v1
kind: Template
«metadata»metadata:
  name: plant
  purpose: Faults of every kind, side by side
spec:
  parameters:
    wmsUrl: { type: string, format: uri }
    port: { type: integer }
    presses: { type: array, of: { name: string, endpoint: uri } }
    unit: { type: «spec.parameters.unit.type»strng }
  connectors:
    wms:
      type: mqtt
      url: "\${wmsUrl}"
      username: gateway
      password: «spec.connectors.wms.password»plaintext
      grants: { subscribe: ["wms/picks/#", «spec.connectors.wms.grants.subscribe.1»"wms/#/x"], publish: ["wms/orders/#"] }
      «spec.connectors.wms.keepalive»keepalive: 15s
      «spec.connectors.wms.username»username: other
    floor:
      type: mqtt-broker
      port: "\${port}"
      users: [{ username: t, password: { secret: t, «spec.connectors.floor.users.0.password.value»value: x }, publish: ["floor/#"] }]
      grants: { subscribe: ["floor/+/a"], publish: ["floor/out/#"] }
    odd: { type: «spec.connectors.odd.type»mqqt, url: 5 }
    press:
      type: opcua
      endpoint: «spec.connectors.press.endpoint»"\${pressUrl}"
      publishing: «spec.connectors.press.publishing»200
      items:
        strokes: { node: «spec.connectors.press.items.strokes.node»"ns=2;s=Strokes" }
        temp: { node: "nsu=urn:p;s=T", sampling: «spec.connectors.press.items.temp.sampling»fast }
        next: { node: "nsu=urn:p;s=N", access: «spec.connectors.press.items.next.access»wirte }
    robots: { type: opcua, forEach: «spec.connectors.robots.forEach»"\${wmsUrl}", endpoint: "\${each.endpoint}", items: { a: { node: "nsu=u;s=A" } } }
    cells: { type: opcua, «spec.connectors.cells.foreach»foreach: "\${presses}", endpoint: "\${each.endpoint}", items: { a: { node: "nsu=u;s=A" } } }
    erp: { type: odoo, url: "http://h", database: d, apiKey: { secret: odoo }, warehouses: [L], units: {}, «spec.connectors.erp.extra»extra: "\${wmsUrl}" }
  flows:
    release:
      purpose: p
      from: { connector: erp, source: «spec.flows.release.from.source»production-order.relesed }
      to: [{ connector: erp, operation: transfer.confirm }]
    picks:
      purpose: Tell the ERP
      from: { connector: wms, topic: "wms/picks/+/confirmed" }
      «spec.flows.picks.splt»splt: payload.lines
      as: «spec.flows.picks.as»pick.confirmd
      map: '{ "moId": payload.mo, "no": line.no, "taskId": payload.task «spec.flows.picks.map»'
      to: [{ central: true }]
    «spec.flows.short»short:
      from: { connector: floor, topic: «spec.flows.short.from.topic»"floor/+/b", «spec.flows.short.from.retain»retain: yes }
      as: equipment.sampled
      map:
        equipment: «spec.flows.short.map.equipment»payloadd.order
        item: «spec.flows.short.map.item»$uppr(payload.item)
        «spec.flows.short.map.valeu»valeu: payload.value
        quality: "'good'"
        sourceTimestamp: payload.at
      to: [{ central: true }, «spec.flows.short.to.1»nowhere, { connector: press, write: «spec.flows.short.to.2.write»strokes, value: "«spec.flows.short.to.2.value»payload.x" }]
    orders:
      purpose: out
      owner: «spec.flows.orders.owner»[me]
      from: { central: [production-order.released, «spec.flows.orders.from.central.1»pick.confirmed] }
      map: «spec.flows.orders.map»payload
      to:
        - { connector: «spec.flows.orders.to.0.connector»wmss, topic: "wms/orders/{data.moId}" }
        - { connector: wms, topic: "wms/orders/{data.moId}", accepted: { topic: "elsewhere/+", match: payload.mo, within: «spec.flows.orders.to.1.accepted.within»60 } }
        - { connector: floor, topic: «spec.flows.orders.to.2.topic»"erp/{data.moId}", qos: «spec.flows.orders.to.2.qos»2 }
        - { connector: press, write: «spec.flows.orders.to.3.write»temp, value: data.moId }
        - { connector: press, write: next, value: data.moId }
        - { connector: press, write: «spec.flows.orders.to.5.write»tmp, value: data.moId }
        - { connector: press, topic: «spec.flows.orders.to.6.topic»x }
        - { connector: odd, topic: "any/{data.moId}" }
        - { connector: robots, write: «spec.flows.orders.to.8.write»anything, value: data.moId }
    scrap:
      purpose: A fault beside an example that fails
      from: { connector: floor, topic: "floor/+/a" }
      as: «spec.flows.scrap.as»scrap.reported
      map: '{ "txnId": payload.txn, "moId": payload.mo, "item": payload.item, "qty": $quantity(payload.n, "C62"), "reason": { "code": "x" }, "reportedAt": payload.at }'
      «spec.flows.scrap.note»note: nothing
      to: [{ central: true }]
      examples: [{ given: g.json, expect: «spec.flows.scrap.examples.0.expect»e.json }]
`;
const siteText = `apiVersion: plantgate/v1
kind: Site
metadata: { name: lyon, owner: a@example.com, purpose: p, «metadata.label»label: {} }
spec:
  template: plant
  timeZone: «spec.timeZone»Europe/Pariss
  parameters:
    wmsUrl: mqtt://127.0.0.1
    port: «spec.parameters.port»eighty
    presses: []
    unit: 5
  grants: { send: [pick.confirmed, equipment.sampled, «spec.grants.send.2»shortage.reprted], receive: [production-order.released] }
`;

describe("judging a document with many faults", () => {
  it("names every one where it is, and nothing that only follows from another", async () => {
    const documents = [marked("t.yaml", template), marked("s.yaml", siteText)];
    const files = [
      ...documents.map(({ name, text }) => ({ name, text })),
      { name: "g.json", text: '{"txn":"1","mo":"hq-mo-1","item":"a","n":"1","at":"2026-01-01T00:00:00.000Z"}' },
      { name: "e.json", text: "[]" },
    ];
    const { problems } = await validateDocuments({ files });
    expect(problems.map(place)).toEqual(documents.flatMap(({ places }) => places));
    expect(problems.length).toBeGreaterThan(35);
  });

  it("judges what rests on a list that is none, but not its elements", async () => {
    const kept = template.replace(/ {2}flows:[\s\S]*/, "  flows: {}\n");
    const text = kept.replace(/«[^»]*»/g, "");
    const { problems } = await validateDocuments({ files: [{ name: "t.yaml", text }] });
    const line = text.split("\n").findIndex((each) => each.includes("robots:")) + 1;
    expect(problems.filter((problem) => problem.line === line).map(({ message }) => message)).toEqual([
      '"forEach" names a list parameter: "${presses}"',
    ]);
  });

  it("names a name that is unknown beside a parameter without a value", async () => {
    const text = `apiVersion: plantgate/v1
kind: Template
metadata: { name: plant, owner: a, purpose: p }
spec:
  parameters: { field: { type: string } }
  connectors: { floor: { type: mqtt, url: "mqtt://h", grants: { subscribe: ["\${fild}/#"] } } }
  flows:
    f:
      purpose: p
      from: { connector: floor, topic: a }
      as: shortage.reported
      split: "[payload.\${field}, wrong]"
      to: [{ central: true }]
`;
    const { problems } = await validateDocuments({ files: [{ name: "t.yaml", text }] });
    const column = (line: number, what: string): string => `${line}:${(text.split("\n")[line - 1] ?? "").indexOf(what) + 1}`;
    expect(problems.map(({ line, column }) => `${line}:${column}`)).toEqual([column(6, `\${fild}`), column(12, "wrong")]);
  });

  it("judges a document whose kind, name or owner is faulty", async () => {
    const text = `apiVersion: plantgate/v2
kind: Templat
metadata: { name: 5, purpose: p }
spec: { flows: { f: { purpose: p, from: { connector: nobody, topic: a }, as: shortage.reported, to: [{ central: true }] } } }
`;
    const { problems, templates } = await validateDocuments({
      files: [{ name: "t.yaml", text }, marked("s.yaml", siteText.replace(/«[^»]*»[a-z]*/g, "x"))],
    });
    expect(problems.filter(({ file }) => file === "t.yaml").map(({ path }) => path)).toEqual([
      "apiVersion",
      "kind",
      "metadata",
      "metadata.name",
      "spec.flows.f.from.connector",
      "spec.flows.f.as",
    ]);
    expect(templates).toEqual([]);
  });

  const folder = join(import.meta.dirname, "../../../packaging/demo/config");
  const demo = ["assembly-plant.yaml", "odoo-hq.yaml", "sites/lyon.yaml", "sites/hq.yaml"].map((name) => ({
    name,
    text: readFileSync(join(folder, name), "utf8"),
  }));

  it("never throws, and names a place in the file, whatever is taken away or changed", async () => {
    const paths = demo.map(({ text }) => pathsOf(parseDocument(text).toJS()));
    const change = fc.nat(demo.length - 1).chain((file) =>
      fc.record({
        file: fc.constant(file),
        path: fc.constantFrom(...(paths[file] ?? [])),
        put: fc.constantFrom(undefined, null, 5, "", "x", true, [], {}, ["a"], { a: 1 }, `\${nobody}`, `a \${nobody.x}`, [[]]),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const files = demo.map(({ name, text }, file) => {
          const value = parseDocument(text).toJS() as unknown;
          for (const { path, put } of changes.filter((each) => each.file === file)) alter(value, path, put);
          return { name, text: stringify(value) };
        });
        const { problems } = await validateDocuments({ files });
        for (const { file, line, column } of problems) {
          const lines = (files.find(({ name }) => name === file)?.text ?? "").split("\n");
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(lines.length);
          expect(column).toBeGreaterThanOrEqual(1);
          expect(column).toBeLessThanOrEqual((lines[line - 1] ?? "").length + 1);
        }
      }),
      { numRuns: 150 },
    );
  });
});

function place({ file, path, line, column }: DocumentProblem): string {
  return `${file}:${line}:${column} ${path}`;
}

/** The text without its marks, and where they stood. */
function marked(name: string, text: string): { name: string; text: string; places: string[] } {
  const places: string[] = [];
  const lines = text.split("\n").map((line, index) => {
    let plain = line;
    for (let mark = /«([^»]*)»/.exec(plain); mark; mark = /«([^»]*)»/.exec(plain)) {
      places.push(`${name}:${index + 1}:${mark.index + 1} ${mark[1]}`);
      plain = plain.slice(0, mark.index) + plain.slice(mark.index + mark[0].length);
    }
    return plain;
  });
  return { name, text: lines.join("\n"), places };
}

function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  return [...(path.length > 0 ? [path] : []), ...Object.entries(value).flatMap(([key, each]) => pathsOf(each, [...path, key]))];
}

/** Puts a value in the place of another; undefined takes it away. */
function alter(root: unknown, path: readonly string[], put: unknown): void {
  let parent = root as Record<string, unknown>;
  for (const step of path.slice(0, -1)) {
    const next = parent[step];
    if (typeof next !== "object" || next === null) return;
    parent = next as Record<string, unknown>;
  }
  const last = path.at(-1) ?? "";
  if (put === undefined) delete parent[last];
  else parent[last] = put;
}
