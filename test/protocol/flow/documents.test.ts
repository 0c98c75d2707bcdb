import { describe, expect, it } from "vitest";
import { renderSite, validateDocuments } from "../../../protocol/index.ts";

const faulty = `apiVersion: plantgate/v1
kind: Template
metadata: { name: plant, owner: a@example.com, purpose: Ten faults }
spec:
  parameters:
    wmsUrl: { type: string, format: uri }
  connectors:
    wms:
      type: mqtt
      url: "\${wmsUrl}"
      pasword: { secret: wms }
      grants: { subscribe: ["wms/picks/#"], publish: ["wms/orders/+"] }
    erp:
      type: odoo
      url: https://erp.example
      database: db
      apiKey: hunter2
      warehouses: [LYO]
      units: {}
    press:
      type: opcua
      endpoint: "\${endpont}"
      items: { next: { node: "nsu=urn:x;s=Next" } }
    floor:
      type: mqtt-broker
      port: 1883
      users: [{ username: t, password: { secret: t }, publish: ["floor/#"] }]
      grants: { subscribe: ["floor/#"], publish: ["floor/out/+"] }
  flows:
    finished:
      purpose: Good pieces
      from: { connector: floor, topic: elsewhere/+ }
      as: scrap.reportd
      map: |
        {
          "txnId": payload.txn,
          "moId": paylod.order
        }
      to: [{ central: true }]
    jobs:
      purpose: What to run
      from: { central: production-order.released }
      to:
        - { connector: press, write: next, value: data.moID }
        - { connector: floor, topic: "floor/other/{data.moId}" }
    samples:
      purpose: Trends
      from: { connector: floor, topic: floor/+/sample }
      as: equipment.sampled
      key: '$foo(payload.a'
      map: { equipment: "topic[1]", item: payload.item, value: payload.value, quality: "'good'", sourceTimestamp: payload.at }
      to: [{ central: true }]
`;

describe("judging documents", () => {
  it("names ten faults of one template at once, each with its line and column", async () => {
    const { problems } = await validateDocuments({ files: [{ name: "plant.yaml", text: faulty }] });
    const said = problems.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
    expect(said).toEqual([
      '11:7 spec.connectors.wms.pasword: unknown key "pasword"; did you mean "password"?',
      "17:15 spec.connectors.erp.apiKey: a secret is named here, never written: { secret: apiKey }",
      `22:17 spec.connectors.press.endpoint: \${endpont}: there is no parameter "endpont"`,
      '32:40 spec.flows.finished.from.topic: "elsewhere/+" is not among the topics that "floor" may subscribe: floor/#',
      '33:11 spec.flows.finished.as: unknown message type "scrap.reportd"; did you mean "scrap.reported"?',
      '37:19 spec.flows.finished.map: unknown name "paylod"; did you mean "payload"?',
      '44:38 spec.flows.jobs.to.0.write: item "next" can only be read; writing wants access: write',
      '44:56 spec.flows.jobs.to.0.value: data has no field "moID"; did you mean "moId"?',
      '45:38 spec.flows.jobs.to.1.topic: "floor/other/+" is not among the topics that "floor" may publish: floor/out/+',
      '50:27 spec.flows.samples.key: Expected ")" before end of expression',
    ]);
  });

  it("refuses a user and password in an address, and does not repeat them (P9)", async () => {
    const text = faulty.replace("https://erp.example", "https://odoo:pa55word@erp.example");
    const { problems } = await validateDocuments({ files: [{ name: "t.yaml", text }] });
    const said = problems.filter(({ path }) => path === "spec.connectors.erp.url").map(({ message }) => message);
    expect(said).toEqual([expect.stringContaining("an address holds no user and password")]);
    expect(JSON.stringify(problems)).not.toContain("pa55word");
  });

  it("says nothing about a made-up parameter's value", async () => {
    const text = faulty.slice(0, faulty.indexOf("    erp:")).replace("pasword", "password");
    const { problems, templates } = await validateDocuments({ files: [{ name: "plant.yaml", text }] });
    expect(problems).toEqual([]);
    expect(templates.map(({ metadata }) => metadata.name)).toEqual(["plant"]);
  });

  it("finds a character inside quoted, folded and literal text", async () => {
    const flow = (map: string): string => `apiVersion: plantgate/v1
kind: Template
metadata: { name: plant, owner: a@example.com, purpose: p }
spec:
  connectors:
    wms: { type: mqtt, url: mqtt://h, grants: { subscribe: ["#"] } }
  flows:
    f:
      purpose: p
      from: { connector: wms, topic: a }
      as: shortage.reported
      split: ${map}
      to: [{ central: true }]
`;
    for (const map of [
      "[payload.x, wrong]",
      `'["it''s", "it''s", wrong]'`,
      `"[\\"a\\\\n\\", \\"\\u0041\\", wrong]"`,
      `|\n        [\n          payload.x,\n            wrong\n        ]`,
      `>-\n        [payload.x,\n        payload.y,\n        wrong]`,
      `"[payload.x,\n          wrong]"`,
    ]) {
      const text = flow(map.startsWith("[") ? `"${map}"` : map);
      const { problems } = await validateDocuments({ files: [{ name: "f.yaml", text }] });
      const found = problems.find(({ message }) => message.includes('unknown name "wrong"'));
      const offset = text.indexOf("wrong");
      const line = text.slice(0, offset).split("\n").length;
      expect({ line: found?.line, column: found?.column }, map).toEqual({
        line,
        column: offset - text.lastIndexOf("\n", offset),
      });
    }
  });

  it("names the line of text that is not YAML, and of a key that is there twice", async () => {
    const { problems } = await validateDocuments({
      files: [
        { name: "a.yaml", text: `kind: Template\n${good}` },
        { name: "b.yaml", text: "a: [1\n" },
      ],
    });
    expect(problems.map(({ file, line, column, path }) => `${file}:${line}:${column} ${path}`)).toEqual([
      "a.yaml:3:1 kind",
      "b.yaml:2:1 ",
    ]);
    expect(problems[0]?.message).toContain("unique");
  });

  it("refuses a document that unfolds itself by aliases", async () => {
    const text = `a: &a [x, x]\n${"bcdefgh"
      .split("")
      .map((key, index) => `${key}: &${key} [${`*${"abcdefgh"[index]},`.repeat(9)}]`)
      .join("\n")}\n`;
    const { problems } = await validateDocuments({ files: [{ name: "a.yaml", text }] });
    expect(problems.map(({ message }) => message).join()).toMatch(/alias/i);
  });

  const good = `apiVersion: plantgate/v1
kind: Template
metadata: { name: plant, owner: a@example.com, purpose: p }
spec:
  parameters:
    port: { type: integer }
    mode: { type: string, values: [fast, slow], default: fast }
    presses: { type: array, of: { name: string, endpoint: uri } }
  connectors:
    press: { type: opcua, forEach: "\${presses}", endpoint: "\${each.endpoint}", items: { n: { node: "s=N", access: write }, t: { node: "s=T" } } }
    floor: { type: mqtt-broker, port: "\${port}", users: [{ username: t, password: { secret: t }, publish: ["a"] }], grants: { subscribe: ["a"] } }
  flows:
    jobs: { purpose: "For \${site.name} in \${site.timeZone}", from: { central: production-order.released }, to: [{ connector: press, write: n, value: data.moId }] }
    samples: { purpose: p, from: { connector: press, items: [t] }, to: [{ central: true }] }
`;
  const site = (
    parameters: string,
    grants = "{ send: [equipment.sampled], receive: [production-order.released] }",
  ): string => `apiVersion: plantgate/v1
kind: Site
metadata: { name: lyon, owner: a@example.com, purpose: p, labels: { region: eu } }
spec:
  template: plant
  timeZone: Europe/Paris
  parameters: ${parameters}
  grants: ${grants}
`;
  const two = "{ port: 1883, presses: [{ name: p1, endpoint: opc.tcp://a:1 }, { name: p2, endpoint: opc.tcp://b:2 }] }";
  const build = (siteText: string, template = good) =>
    renderSite({
      files: [
        { name: "t.yaml", text: template },
        { name: "s.yaml", text: siteText },
      ],
      site: "lyon",
      revision: 3,
    });
  const problemsOf = async (siteText: string, template = good): Promise<string[]> => {
    const built = await build(siteText, template);
    return built.ok ? [] : built.problems.map(({ file, line, column, message }) => `${file}:${line}:${column} ${message}`);
  };

  it("builds the same bundle from the same documents, byte for byte", async () => {
    const [a, b] = [await build(site(two)), await build(site(two))];
    expect(a.ok).toBe(true);
    expect(JSON.stringify(a)).toBe(JSON.stringify(b));
  });

  it("makes one connector and one destination for each element of a list", async () => {
    const built = await build(site(two));
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    const { bundle } = built;
    expect(Object.entries(bundle.connectors).map(([name, { group }]) => [name, group])).toEqual([
      ["press.p1", "press"],
      ["press.p2", "press"],
      ["floor", "floor"],
    ]);
    expect(bundle.connectors["press.p2"]?.config).toMatchObject({ endpoint: "opc.tcp://b:2" });
    expect(bundle.connectors.floor?.config).toMatchObject({ port: 1883 });
    expect(bundle.flows.jobs?.to).toMatchObject([{ connector: "press.p1" }, { connector: "press.p2" }]);
    expect(bundle.flows.samples?.from).toMatchObject([{ connector: "press.p1" }, { connector: "press.p2" }]);
    expect(bundle.flows.jobs?.purpose).toBe("For lyon in Europe/Paris");
    expect(bundle.grants).toEqual({ send: ["mfg.equipment.sampled.v1"], receive: ["mfg.production-order.released.v1"] });
  });

  it("leaves a flow out at a site whose list of machines is empty", async () => {
    const built = await build(site("{ port: 1883, presses: [] }"));
    expect(built.ok && Object.keys(built.bundle.flows)).toEqual([]);
  });

  it("names a parameter that is missing, unknown, or of the wrong type, in the site's document", async () => {
    const text = site("{ prt: 1, port: yes, mode: fsat, presses: [{ name: p1, endpoint: here }, { name: p1 }] }");
    const at = (what: string): string => `s.yaml:7:${(text.split("\n")[6] ?? "").indexOf(what) + 1}`;
    expect(await problemsOf(text)).toEqual([
      `${at("prt")} template "plant" has no parameter "prt"; did you mean "port"?`,
      `${at("yes")} has to be an integer, is "yes"`,
      `${at("fsat")} "fsat" is none of fast, slow; did you mean "fast"?`,
      `${at("here")} has to be an address, is "here"`,
      `${at("{ name: p1 }")} "endpoint" is missing`,
      expect.stringContaining('two elements are named "p1"'),
    ]);
    expect(await problemsOf(site(two.replace("p2", "p.2")))).toEqual([
      expect.stringMatching(/^t\.yaml:10:\d+ each element needs a "name"/),
    ]);
    expect(await problemsOf(site("{ port: 1 }"))).toEqual(['s.yaml:7:3 parameter "presses" is missing']);
  });

  it("refuses a flow whose type the site may not send or receive", async () => {
    expect(await problemsOf(site(two, "{ send: [], receive: [pick.confirmed] }"))).toEqual([
      expect.stringMatching(/^t\.yaml:13:\d+ site "lyon" may not receive production-order\.released/),
      expect.stringMatching(/^t\.yaml:14:\d+ site "lyon" may not send equipment\.sampled/),
    ]);
  });

  it("refuses a list where text is written around a placeholder, and an unknown site", async () => {
    const problems = await problemsOf(site(two), good.replace(`For \${site.name}`, `For \${presses}`));
    expect(problems).toEqual([expect.stringMatching(/^t\.yaml:13:\d+ \$\{presses\} is not one value/)]);
    const built = await renderSite({
      files: [{ name: "t.yaml", text: good }],
      site: "lyon",
      revision: 1,
    });
    expect(built.ok ? [] : built.problems.map(({ message }) => message)).toEqual(['there is no Site "lyon" among the documents']);
  });

  it("reports what an example gives instead of what it should", async () => {
    const template = good.replace(
      "from: { connector: press, items: [t] },",
      "from: { connector: press, items: [t] }, examples: [{ given: g.json, expect: e.json }],",
    );
    const given = { equipment: "p1", item: "t", value: 1, quality: "good", sourceTimestamp: "2026-01-01T00:00:00.000Z" };
    const run = (expected: unknown) =>
      validateDocuments({
        files: [
          { name: "t.yaml", text: template },
          { name: "g.json", text: JSON.stringify(given) },
          { name: "e.json", text: JSON.stringify(expected) },
        ],
      });
    expect((await run([{ data: given, key: "p1/t" }])).problems).toEqual([]);
    expect((await run([{ data: { ...given, value: 2 } }])).problems.map(({ line, message }) => `${line} ${message}`)).toEqual([
      "14 example e.json: [0].data.value: expected 2, got 1",
    ]);
    expect((await run([])).problems.map(({ message }) => message)).toEqual(["example e.json: the result: 0 expected, 1 came"]);
    expect((await run({ refused: "INPUT_INVALID" })).problems.map(({ message }) => message)).toEqual([
      "example e.json: should be refused with INPUT_INVALID, and is not",
    ]);
  });

  it("names an example that cannot be found", async () => {
    const template = good.replace(
      "from: { connector: press, items: [t] },",
      "from: { connector: press, items: [t] }, examples: [{ given: g.json, expect: e.json }],",
    );
    const { problems } = await validateDocuments({
      files: [{ name: "x/t.yaml", text: template }],
      readExample: (path) => (path === "x/g.json" ? "{}" : undefined),
    });
    expect(problems.map(({ message }) => message)).toEqual(['there is no file "e.json"']);
  });
});
