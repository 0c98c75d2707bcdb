import { describe, expect, it } from "vitest";
import { renderSite, validateDocuments } from "../../../protocol/index.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";

const about = "metadata: { name: NAME, owner: platform@example.com, purpose: p }";
const policy = (spec: string, name = "p"): string =>
  `apiVersion: plantgate/v1\nkind: Policy\n${about.replace("NAME", name)}\nspec:\n${spec.replace(/^/gm, "  ")}\n`;
const secret = (spec: string): string =>
  `apiVersion: plantgate/v1\nkind: Secret\n${about.replace("NAME", "wms")}\nspec: ${spec}\n`;

async function judge(...texts: string[]) {
  const files = texts.map((text, index) => ({ name: `${index}.yaml`, text }));
  const { problems, warnings } = await validateDocuments({ files });
  const lines = (found: typeof problems) =>
    found.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
  return { problems: lines(problems), warnings: lines(warnings) };
}

describe("judging a policy", () => {
  it.each<[what: string, spec: string, said: string]>([
    [
      "an unknown key, with what was meant",
      "selector: {}\nqueue: { lanes: { telemetry: { maxAges: 3d } } }",
      '6:34 spec.queue.lanes.telemetry.maxAges: unknown key "maxAges"; did you mean "maxAge"?',
    ],
    ["a key that is far from any", "selector: {}\nlogLevel: info\nfoo: 1", '7:3 spec.foo: unknown key "foo"'],
    [
      "a duration that is none",
      "selector: {}\nwatch: { for: 30 seconds }",
      "6:17 spec.watch.for: a duration such as 100ms, 15s, 5m, 4h or 1d",
    ],
    ["a size that is none", "selector: {}\nlink: { bytesPerSecond: 64KB }", "a size such as 64KiB, 512MiB or 2GiB"],
    ["a word that is none", "selector: {}\nlogLevel: verbose", '"verbose" is none of debug, info, warn, error'],
    ["no selector", "logLevel: info", '"selector" is missing'],
    [
      "a slower link than any",
      "selector: {}\nlink: { bytesPerSecond: 10B }",
      "6:27 spec.link.bytesPerSecond: at least 1KiB: a slower way counts as none",
    ],
    [
      "a long wait for company",
      "selector: {}\nlink: { linger: { bulk: 5m } }",
      "6:27 spec.link.linger.bulk: at most 10s: a lane that sends nothing for longer counts as stuck",
    ],
    [
      "keys that overlap for longer than they live",
      "selector: {}\nkeys: { rotateEvery: 1h, overlap: 2h }",
      "6:37 spec.keys.overlap: has to be shorter than rotateEvery, 1h: only two keys are taken at a time",
    ],
    [
      "a batch that no gateway sends",
      "selector: {}\nlink: { batch: { bytes: 4MiB } }",
      "6:27 spec.link.batch.bytes: at most 1MiB: no gateway sends larger ones",
    ],
    ["an old key that central does not take", "selector: {}\nkeys: { overlap: 8d }", "6:20 spec.keys.overlap: at most 7d"],
    [
      "pauses that shrink",
      "selector: {}\ndeliveries: [{ retry: { base: 1m, cap: 1s } }]",
      "6:42 spec.deliveries.0.retry.cap: the longest pause is shorter than the first, 1m",
    ],
    [
      "a rule that says nothing",
      "selector: {}\ndeliveries: [{ connector: wms }]",
      "6:16 spec.deliveries.0: this rule says nothing: retry, onExhausted or effect",
    ],
    [
      "a type of connector that there is not",
      "selector: {}\ndeliveries: [{ type: mqt, effect: once }]",
      '"mqt" is none of mqtt, mqtt-broker, http, opcua, odoo; did you mean "mqtt"?',
    ],
    ["a share above one", "selector: {}\nwatch: { maxDeadLetterShare: 5 }", "spec.watch.maxDeadLetterShare"],
    [
      "prod without review",
      "selector: { labels: { environment: prod } }\nreview: { required: false }",
      "6:23 spec.review.required: changes of prod are always read by a second person",
    ],
    [
      "everything without review",
      "selector: {}\nreview: { required: false }",
      "review can be left out for a named environment only",
    ],
    [
      "review by region",
      "selector: { labels: { region: eu } }\nreview: { required: true }",
      "a policy that says so selects by nothing else, not by region",
    ],
  ])("names %s", async (_what, spec, said) => {
    const { problems } = await judge(policy(spec));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(said);
  });

  it("names what several documents say wrongly together", async () => {
    const { problems } = await validateDocuments({
      files: [
        templateFile(),
        siteFile("lyon", {}, { keys: { overlap: "2h" } }),
        siteFile("porto", {}),
        policyFile("a", {}, { keys: { rotateEvery: "30m" } }),
      ],
    });
    expect(problems.map(({ file, path, message }) => `${file} ${path}: ${message}`)).toEqual([
      'site-lyon.yaml spec.keys.overlap: at site "lyon" keys would overlap for 2h and live for 30m, with keys.rotateEvery of Policy/a',
      'policy-a.yaml spec.keys.rotateEvery: at site "porto" keys would overlap for 1h and live for 30m, with keys.overlap of the default',
    ]);
  });

  it("reports all faults of all documents at once", async () => {
    const { problems } = await judge(policy("selector: {}\nlogLevel: loud"), policy("selector: {}\nwatch: { for: 1x }", "q"));
    expect(problems).toHaveLength(2);
  });

  it("knows two of one name", async () => {
    const { problems } = await judge(policy("selector: {}\nlogLevel: info"), policy("selector: {}\nlogLevel: warn"));
    expect(problems.join()).toContain('Policy "p" is there twice');
  });

  it("knows a policy whose kind is missing or misspelt by what it has", async () => {
    expect((await judge(policy("selector: {}\nlogLevel: info").replace("kind: Policy\n", ""))).problems).toEqual([
      '1:1 : "kind" is missing: Template, Site, Policy or Secret',
    ]);
    expect((await judge(policy("selector: {}\nlogLevel: info").replace("Policy", "Polcy"))).problems.join()).toContain(
      'unknown kind "Polcy"; did you mean "Policy"?',
    );
  });

  it("refuses a site whose label names another one", async () => {
    const { problems } = await validateDocuments({ files: [templateFile(), siteFile("lyon", { site: "porto" })] });
    expect(problems.map(({ message }) => message)).toEqual(['the label "site" is the site\'s name, "lyon"']);
  });
});

describe("warning of a policy", () => {
  const plant = [templateFile(), siteFile("lyon", { environment: "test", region: "eu" })];
  const warned = async (...files: Parameters<typeof validateDocuments>[0]["files"]) => {
    const { problems, warnings } = await validateDocuments({ files: [...plant, ...files] });
    expect(problems).toEqual([]);
    return warnings.map(({ message }) => message);
  };

  it("that selects by a label or a value that no site has", async () => {
    const says = { logLevel: "info" };
    expect(await warned(policyFile("a", { businesunit: "pumps" }, says))).toEqual([
      'no site has a label "businesunit"; did you mean "businessUnit"?',
    ]);
    expect(await warned(policyFile("a", { environment: "prod" }, says))).toEqual(["no site has environment=prod; there is test"]);
    expect(await warned(policyFile("a", { site: "lion" }, says))).toEqual(['there is no site "lion"; did you mean "lyon"?']);
    expect(await warned(policyFile("a", { environment: "test", region: "eu" }, says))).toEqual([]);
  });

  it("not of labels where no sites are among the documents", async () => {
    expect((await judge(policy("selector: { labels: { anything: goes } }\nlogLevel: info"))).warnings).toEqual([]);
  });

  it("that names a connector or a flow that no template has", async () => {
    const deliveries = [
      { connector: "wmss", effect: "once" },
      { flow: "order", effect: "once" },
      { connector: "wms", flow: "orders", effect: "once" },
    ];
    expect(await warned(policyFile("a", {}, { deliveries }))).toEqual([
      'no template has a connector "wmss"; did you mean "wms"?',
      'no template has a flow "order"; did you mean "orders"?',
    ]);
  });

  it("that calls repeats harmless for whatever receiver there is", async () => {
    const said = [expect.stringMatching(/^this says of many receivers that a repeat does nothing there/)];
    expect(await warned(policyFile("a", {}, { deliveries: [{ effect: "idempotent" }] }))).toEqual(said);
    expect(await warned(policyFile("a", {}, { deliveries: [{ connector: "wms", effect: "idempotent" }] }))).toEqual([]);
  });

  it("that says nothing", async () => {
    expect(await warned(policyFile("a", {}, {}))).toEqual([expect.stringMatching(/^this policy says nothing/)]);
  });

  it("that only its name puts before or behind another which says something else", async () => {
    const first = policyFile("a", { region: "eu" }, { logLevel: "info", watch: { for: "1m" } });
    const said = ['policy "a" says info with the same rank, and is heard first by its name alone: give one of them a priority'];
    const second = (labels: Record<string, string>, spec: object) => policyFile("b", labels, { logLevel: "warn", ...spec });
    expect(await warned(first, second({ region: "eu" }, {}))).toEqual(said);
    expect(await warned(first, second({ region: "eu" }, { priority: 1 }))).toEqual([]);
    expect(await warned(first, policyFile("b", { region: "eu" }, { logLevel: "info" }))).toEqual([]);
    // they never meet
    expect(await warned(first, second({ region: "us" }, {}))).toEqual(["no site has region=us; there is eu"]);
  });

  it("whose rules contradict those of another of the same rank", async () => {
    const rule = (effect: string) => ({ deliveries: [{ connector: "wms", effect }] });
    expect(await warned(policyFile("a", {}, rule("once")), policyFile("b", {}, rule("idempotent")))).toEqual([
      expect.stringContaining('policy "a" says something else of the same deliveries'),
    ]);
  });
});

describe("judging a document of a secret", () => {
  it("takes one without anything but a name, and one with a schedule", async () => {
    expect(await judge(secret("{}"))).toEqual({ problems: [], warnings: [] });
    expect(await judge(secret("{ rotate: { every: 90d, warnBefore: 7d } }"))).toEqual({ problems: [], warnings: [] });
  });

  it.each(["value", "data", "stringData"])("refuses a %s, names the command instead, and repeats nothing of it", async (key) => {
    const text = secret(`{ ${key}: hunter2-hunter2 }`);
    const { problems } = await validateDocuments({ files: [{ name: "s.yaml", text }] });
    expect(problems).toEqual([
      {
        file: "s.yaml",
        path: `spec.${key}`,
        line: 4,
        column: 9,
        confidential: true,
        message: `a secret's value never stands in a document: take "${key}" out and run plantgate secret set wms`,
      },
    ]);
    const beside = await validateDocuments({ files: [{ name: "s.yaml", text: `${secret("{}")}${key}: hunter2-hunter2\n` }] });
    expect(beside.problems[0]?.message).toContain("plantgate secret set wms");
    expect(JSON.stringify([problems, beside.problems])).not.toContain("hunter2");
  });

  it("repeats nothing of what stands where something else should", async () => {
    for (const spec of ["hunter2-hunter2", "{ rotate: { every: hunter2-hunter2 } }", "[hunter2-hunter2]"]) {
      const { problems } = await validateDocuments({ files: [{ name: "s.yaml", text: secret(spec) }] });
      expect(problems.length, spec).toBeGreaterThan(0);
      expect(JSON.stringify(problems), spec).not.toContain("hunter2");
    }
  });

  it("wants a warning before it is due, not always", async () => {
    const { problems } = await judge(secret("{ rotate: { every: 7d } }"));
    expect(problems).toEqual([
      "4:9 spec.rotate.warnBefore: warns 14d before it is due, and it is due every 7d: that would be always",
    ]);
  });
});

describe("the mode of a flow", () => {
  const modeOf = async (text: string) => {
    const rendered = await renderSite({ files: [{ name: "m.yaml", text }], site: "lyon", revision: 1 });
    return rendered.ok ? rendered.bundle.flows.orders?.mode : rendered.problems.map(({ line, message }) => `${line}: ${message}`);
  };
  const documents = (mode: string, modes = "{}", head = ""): string => `${head}apiVersion: plantgate/v1
kind: Template
metadata: { name: plant, owner: o, purpose: p }
spec:
  parameters: { modes: { type: object, values: [off, shadow, live] } }
  connectors: { wms: { type: mqtt, url: "mqtt://127.0.0.1:1883", grants: { publish: [a] } } }
  flows:
    orders: { purpose: p, mode: ${mode}, from: { central: production-order.released }, to: [{ connector: wms, topic: a }] }
---
apiVersion: plantgate/v1
kind: Site
metadata: { name: lyon, owner: o, purpose: p }
spec: { template: plant, parameters: { modes: ${modes} }, grants: { receive: [production-order.released] } }
`;

  it("is live unless it is said, and one of three words", async () => {
    expect(await modeOf(documents("live"))).toBe("live");
    expect(await modeOf(documents("shadow"))).toBe("shadow");
    expect(await modeOf(documents("'${modes.orders}'", "{ orders: shadow }"))).toBe("shadow");
  });

  it("is off however off is written: bare, quoted, in YAML 1.1, where it is a boolean, or as that in JSON", async () => {
    expect(await modeOf(documents("off"))).toBe("off");
    expect(await modeOf(documents("'off'"))).toBe("off");
    expect(await modeOf(documents("false"))).toBe("off");
    expect(await modeOf(documents("'${modes.orders}'", "{ orders: off }"))).toBe("off");
    expect(await modeOf(documents("off", "{}", "%YAML 1.1\n---\n"))).toBe("off");
  });

  it("is no other word, and a parameter's is named where it stands", async () => {
    expect(await modeOf(documents("on"))).toEqual(['8: "on" is none of off, shadow, live']);
    expect(await modeOf(documents("true"))).toEqual(["8: true is none of off, shadow, live"]);
    expect(await modeOf(documents("shadwo"))).toEqual(['8: "shadwo" is none of off, shadow, live; did you mean "shadow"?']);
    expect(await modeOf(documents("'${modes.orders}'", "{ orders: shadwo }"))).toEqual([
      '13: "shadwo" is none of off, shadow, live; did you mean "shadow"?',
    ]);
    expect(await modeOf(documents("'${modes.orders}'"))).toEqual([
      expect.stringMatching(/^8: \$\{modes.orders\}: "modes" has no "orders"/),
    ]);
  });
});

it("names what was meant also within a flow's retries", async () => {
  const { problems } = await validateDocuments({ files: [templateFile({ flow: { retry: { attemps: 3 } } })] });
  expect(problems.map(({ message }) => message)).toEqual(['unknown key "attemps"; did you mean "attempts"?']);
});
