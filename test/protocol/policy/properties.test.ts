import fc from "fast-check";
import { expect, it } from "vitest";
import { bundle, renderSite, type SourceFile, validateDocuments } from "../../../protocol/index.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";

const duration = fc.constantFrom("1s", "30s", "5m", "2h", "9d");
const size = fc.constantFrom("1KiB", "64KiB", "3MiB", "2GiB");
const some = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) => fc.record(fields, { requiredKeys: [] });
const retry = some({ attempts: fc.integer({ min: 1, max: 50 }), base: fc.constant("1s"), cap: fc.constantFrom("1m", "5m") });
const rule = some({
  connector: fc.constantFrom("wms", "scheduler"),
  type: fc.constantFrom("mqtt", "http"),
  flow: fc.constant("orders"),
  retry,
  onExhausted: fc.constantFrom("block", "park"),
}).chain((rest) => fc.constantFrom("once", "checkable", "idempotent").map((effect) => ({ ...rest, effect })));
const says = some({
  queue: some({
    lanes: some({
      transaction: some({ maxBytes: size, weight: fc.integer({ min: 1, max: 9 }) }),
      telemetry: some({ maxAge: duration, maxMessages: fc.integer({ min: 1000, max: 9000 }) }),
    }),
    encryption: some({ atRest: fc.boolean(), rotateEvery: duration }),
  }),
  link: some({
    bytesPerSecond: size,
    batch: some({ bytes: fc.constantFrom("1KiB", "64KiB", "1MiB") }),
    linger: some({ bulk: fc.constantFrom("0ms", "1s", "10s") }),
  }),
  keys: some({ overlap: fc.constantFrom("1s", "30s") }),
  watch: some({ for: fc.constantFrom("1s", "30s", "2h"), maxDeadLetterShare: fc.constantFrom(0, 0.25, 1) }),
  logLevel: fc.constantFrom("debug", "info", "warn", "error"),
  deliveries: fc.array(rule, { minLength: 1, maxLength: 4 }),
});
const labels = some({
  site: fc.constantFrom("lyon", "porto"),
  businessUnit: fc.constantFrom("pumps", "valves"),
  region: fc.constantFrom("eu", "us"),
  environment: fc.constantFrom("test", "prod"),
  line: fc.constant("7"),
});
const policies = fc.array(fc.record({ labels, says, priority: fc.integer({ min: -1, max: 1 }), enforce: fc.boolean() }), {
  maxLength: 5,
});
const siteLabels = { environment: "test", region: "eu", businessUnit: "pumps", line: "7" };
const site = fc.record({
  labels: fc.constant(siteLabels),
  says,
  parameters: some({ wmsUrl: fc.constant("mqtt://10.0.0.1:1883") }),
});
const documents = fc.record({ policies, site, flow: some({ retry, onExhausted: fc.constantFrom("block", "park") }) });

function filesOf({
  policies: written,
  site: own,
  flow,
}: typeof documents extends fc.Arbitrary<infer Given> ? Given : never): SourceFile[] {
  return [
    templateFile({ flow }),
    siteFile("lyon", own.labels, { ...own.says, parameters: own.parameters }),
    ...written.map(({ labels: selects, says: spec, ...rest }, index) =>
      policyFile(`p${index}`, selects as Record<string, string>, { ...spec, ...rest }),
    ),
  ];
}

/** The same document with its keys written in another order. Of a template the order is the bundle's, so it stays. */
function turned(file: SourceFile): SourceFile {
  const turn = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(turn)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .map(([key, inner]) => [key, turn(inner)] as const)
              .toReversed(),
          )
        : value;
  const document = JSON.parse(file.text) as { kind: string };
  return document.kind === "Template" ? file : { ...file, text: JSON.stringify(turn(document)) };
}

const render = async (files: readonly SourceFile[]) => {
  const rendered = await renderSite({ files, site: "lyon", revision: 3 });
  if (!rendered.ok) throw new Error(JSON.stringify(rendered.problems));
  return rendered;
};

it("gives the same bytes for the same documents, in whatever order files and keys come", async () => {
  await fc.assert(
    fc.asyncProperty(
      documents.chain((given) => {
        const files = filesOf(given);
        return fc.tuple(fc.constant(files), fc.shuffledSubarray(files, { minLength: files.length, maxLength: files.length }));
      }),
      async ([files, shuffled]) => {
        const [one, other] = [await render(files), await render(shuffled.map(turned))];
        expect(JSON.stringify(other.bundle)).toBe(JSON.stringify(one.bundle));
        expect(other.origins).toEqual(one.origins);
        expect(other.documents).toEqual(one.documents);
        expect(JSON.stringify(one.bundle)).not.toMatch(/createdAt|\d{4}-\d{2}-\d{2}T/);
      },
    ),
    { numRuns: 60 },
  );
});

it("says of every value once where it comes from, and it is the value that the bundle has", async () => {
  await fc.assert(
    fc.asyncProperty(documents, async (given) => {
      const { bundle: made, origins } = await render(filesOf(given));
      const paths = origins.map(({ path }) => path);
      expect(new Set(paths).size).toBe(paths.length);
      const said = new Map(origins.map((each) => [each.path, each]));
      for (const each of origins) {
        expect(each.origin.because.length, each.path).toBeGreaterThan(5);
        expect(each.origin.from === "default", each.path).toBe(each.origin.document === undefined);
        // what is overridden never has the word of the default before that of a document
        const order = [each.origin, ...each.overrides.map(({ origin }) => origin)].map(({ from }) => from);
        expect(order.indexOf("default") === -1 || order.indexOf("default") === order.length - 1, each.path).toBe(true);
      }
      for (const part of ["queue", "link", "keys", "watch", "logLevel"] as const) {
        for (const [path, value] of leaves(made[part], part)) expect(said.get(path)?.value, path).toEqual(value);
        const documented = origins.some(({ path, origin }) => path.split(".")[0] === part && origin.from !== "default");
        expect(made[part] !== undefined, part).toBe(documented);
      }
      for (const [name, flow] of Object.entries(made.flows)) {
        const base = `flows.${name}`;
        expect(said.get(`${base}.mode`)?.value).toBe(flow.mode);
        expect(said.get(`${base}.onExhausted`)?.value).toBe(flow.onExhausted);
        for (const [path, value] of leaves(flow.retry, `${base}.retry`)) expect(said.get(path)?.value, path).toEqual(value);
        for (const [index, to] of flow.to.entries()) {
          if (!("connector" in to)) continue;
          expect(said.get(`${base}.to.${index}.effect`)?.value).toBe(to.effect);
          for (const [path, value] of leaves(to.retry, `${base}.to.${index}.retry`))
            expect(said.get(path)?.value, path).toEqual(value);
        }
      }
      for (const [name, { config }] of Object.entries(made.connectors))
        if ("url" in config) expect(said.get(`connectors.${name}.url`)?.value).toBe(config.url);
      expect(bundle.safeParse(JSON.parse(JSON.stringify(made))).success).toBe(true);
    }),
    { numRuns: 60 },
  );
});

it("never throws for what is written, and names a place in the file", async () => {
  const anything = fc.oneof(
    fc.constantFrom(0, -1, true, false, null, "", "?", "1s", "64KiB", [], {}, "1e99d"),
    fc.json({ maxDepth: 2 }).map((text) => JSON.parse(text) as unknown),
  );
  await fc.assert(
    fc.asyncProperty(documents, fc.nat(), anything, fc.constantFrom("", "x"), async (given, at, value, suffix) => {
      const files = filesOf(given).map((file) => {
        const document = JSON.parse(file.text) as object;
        const places = [...placesIn(document)];
        const place = places[at % places.length] as { parent: Record<string, unknown>; key: string };
        Reflect.deleteProperty(place.parent, place.key);
        if (value !== -1) place.parent[`${place.key}${suffix}`] = value;
        return { ...file, text: JSON.stringify(document) };
      });
      const { problems, warnings } = await validateDocuments({ files });
      for (const { file, line, column } of [...problems, ...warnings]) {
        expect(files.map(({ name }) => name)).toContain(file);
        expect(line * column).toBeGreaterThan(0);
      }
    }),
    {
      numRuns: 100,
      // a kind that has no text of its own
      examples: [
        [{ policies: [], site: { labels: siteLabels, says: {}, parameters: {} }, flow: {} } as never, 1, [{ toString: 0 }], ""],
      ],
    },
  );
});

function* leaves(value: unknown, path: string): Generator<[string, unknown]> {
  if (typeof value !== "object" || value === null) {
    if (value !== undefined) yield [path, value];
    return;
  }
  for (const [key, inner] of Object.entries(value)) yield* leaves(inner, `${path}.${key}`);
}

function* placesIn(value: object): Generator<{ parent: Record<string, unknown>; key: string }> {
  for (const [key, inner] of Object.entries(value)) {
    yield { parent: value as Record<string, unknown>, key };
    if (typeof inner === "object" && inner !== null) yield* placesIn(inner as object);
  }
}
