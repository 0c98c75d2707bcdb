import { describe, expect, it } from "vitest";
import { type EffectiveValue, renderSite, type SourceFile } from "../../../protocol/index.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";

const labels = { environment: "test", region: "eu", businessUnit: "pumps", line: "7" };

async function effective(path: string, files: readonly SourceFile[]): Promise<EffectiveValue> {
  const rendered = await renderSite({ files, site: "lyon", revision: 1 });
  if (!rendered.ok) throw new Error(JSON.stringify(rendered.problems));
  const [value, ...others] = rendered.origins.filter((each) => each.path === path);
  expect(others).toEqual([]);
  if (!value) throw new Error(`nothing at ${path}`);
  return value;
}

describe("which document a value is taken from", () => {
  const log = (level: string): Record<string, unknown> => ({ logLevel: level });
  const plant = [templateFile(), siteFile("lyon", labels)];

  // each one beats the next, whatever its name and priority
  const ranks: readonly (readonly [string, Record<string, string>])[] = [
    ["z-site", { site: "lyon" }],
    ["y-unit", { businessUnit: "pumps" }],
    ["x-region", { region: "eu" }],
    ["w-environment", { environment: "test" }],
    ["v-other", { line: "7" }],
    ["u-all", {}],
  ];
  it.each(ranks.slice(0, -1).map((rank, index) => [rank, ranks[index + 1] as (typeof ranks)[number]] as const))(
    "%j is heard before %j",
    async ([name, selects], [nextName, nextSelects]) => {
      const value = await effective("logLevel", [
        ...plant,
        policyFile(nextName, nextSelects, { ...log("error"), priority: 1000 }),
        policyFile(name, selects, log("debug")),
      ]);
      expect(value).toMatchObject({ value: "debug", origin: { from: "policy", document: `Policy/${name}` } });
      expect(value.overrides).toMatchObject([{ value: "error", origin: { document: `Policy/${nextName}` } }]);
    },
  );

  it("hears the policy that selects by more labels, where the highest is the same", async () => {
    const value = await effective("logLevel", [
      ...plant,
      policyFile("a", { region: "eu" }, { ...log("error"), priority: 9 }),
      policyFile("b", { region: "eu", environment: "test" }, log("debug")),
    ]);
    expect(value).toMatchObject({
      value: "debug",
      origin: { because: 'it selects region=eu, environment=test; it goes first because it selects by 2 labels, "a" by 1' },
      overrides: [{ origin: { because: 'it selects region=eu; "b" goes before it because it selects by 2 labels, "a" by 1' } }],
    });
  });

  it("hears the higher priority, where labels say nothing", async () => {
    const value = await effective("logLevel", [
      ...plant,
      policyFile("a", { region: "eu" }, log("error")),
      policyFile("b", { region: "eu" }, { ...log("debug"), priority: 1 }),
    ]);
    expect(value.value).toBe("debug");
  });

  it("hears the first by name, where nothing else tells", async () => {
    const value = await effective("logLevel", [
      ...plant,
      policyFile("b", { region: "eu" }, log("error")),
      policyFile("a", { region: "eu" }, log("debug")),
    ]);
    expect(value.value).toBe("debug");
  });

  it("hears the Site document before a policy that names the site and enforces", async () => {
    const value = await effective("logLevel", [
      templateFile(),
      siteFile("lyon", labels, log("warn")),
      policyFile("a", { site: "lyon" }, { ...log("debug"), enforce: true }),
    ]);
    expect(value).toMatchObject({ value: "warn", origin: { from: "site", document: "Site/lyon" } });
  });

  it("hears a policy that enforces before one that is more specific and does not", async () => {
    const value = await effective("logLevel", [
      ...plant,
      policyFile("a", { site: "lyon" }, log("debug")),
      policyFile("b", {}, { ...log("error"), enforce: true }),
    ]);
    expect(value.value).toBe("error");
    expect(value.origin.because).toBe('it selects all sites; it goes first because it enforces, which "a" does not');
  });

  it("hears the documented example as it is told", async () => {
    const site = (spec = {}) => [templateFile(), siteFile("lyon", { environment: "prod", region: "eu" }, spec)];
    const others = [
      policyFile("eu", { region: "eu" }, log("info")),
      policyFile("prod-eu", { environment: "prod", region: "eu" }, log("warn")),
      policyFile("lyon-trouble", { site: "lyon" }, log("debug")),
    ];
    const all = policyFile("all", {}, { ...log("error"), enforce: true });
    const heard = await effective("logLevel", [...site(), ...others, all]);
    expect([heard, ...heard.overrides].map(({ value }) => value)).toEqual(["error", "debug", "warn", "info"]);
    expect((await effective("logLevel", [...site(), ...others])).value).toBe("debug");
    expect((await effective("logLevel", [...site(log("info")), ...others, all])).value).toBe("info");
  });

  it("takes the default where no document says a value", async () => {
    expect(await effective("watch.for", plant)).toEqual({
      path: "watch.for",
      value: "30s",
      origin: { from: "default", because: "no document says otherwise" },
      overrides: [],
    });
    expect(await effective("link.bytesPerSecond", plant)).toMatchObject({
      value: null,
      origin: { because: "no document says one: no limit" },
    });
  });

  it("takes each value of one part from where it is said", async () => {
    const rendered = await renderSite({
      files: [
        templateFile(),
        siteFile("lyon", labels, { queue: { lanes: { bulk: { weight: 3 } } } }),
        policyFile("a", { region: "eu" }, { queue: { lanes: { telemetry: { maxAge: "3d" }, bulk: { weight: 7 } } } }),
        policyFile("b", {}, { queue: { encryption: { atRest: true }, lanes: { telemetry: { maxAge: "9d" } } } }),
      ],
      site: "lyon",
      revision: 1,
    });
    expect(rendered).toMatchObject({
      ok: true,
      bundle: {
        queue: {
          lanes: { transaction: { maxBytes: "8GiB" }, bulk: { weight: 3 }, telemetry: { maxAge: "3d" } },
          encryption: { atRest: true, rotateEvery: "90d" },
        },
      },
    });
  });

  describe("of a delivery", () => {
    const rule = (attempts: number, rest: object = {}): object => ({ deliveries: [{ ...rest, retry: { attempts } }] });

    it("hears the template before a policy that does not enforce", async () => {
      const files = [templateFile({ flow: { retry: { attempts: 5 } } }), siteFile("lyon", labels), policyFile("a", {}, rule(7))];
      expect(await effective("flows.orders.retry.attempts", files)).toMatchObject({
        value: 5,
        origin: { from: "template", document: "Template/plant", because: "the template writes it" },
        overrides: [
          { value: 7, origin: { because: "it selects all sites; the template goes before it" } },
          { value: 20, origin: { from: "default" } },
        ],
      });
      // what the template leaves open is the policy's to say
      const open = [...files, policyFile("b", {}, { deliveries: [{ onExhausted: "park" }] })];
      expect((await effective("flows.orders.onExhausted", open)).value).toBe("park");
    });

    it("hears a policy that enforces before the template", async () => {
      const files = [
        templateFile({ flow: { retry: { attempts: 5 } } }),
        siteFile("lyon", labels),
        policyFile("a", {}, { ...rule(7), enforce: true }),
      ];
      expect(await effective("flows.orders.retry.attempts", files)).toMatchObject({
        value: 7,
        origin: { because: "it selects all sites and enforces, so it goes before the template" },
        overrides: [{ value: 5 }, { value: 20 }],
      });
    });

    it("hears of several rules the one that names more, for the destination that it names", async () => {
      const rendered = await renderSite({
        files: [
          templateFile(),
          siteFile("lyon", labels),
          policyFile(
            "a",
            {},
            {
              deliveries: [
                { retry: { attempts: 3 } },
                { type: "http", retry: { attempts: 4 } },
                { connector: "scheduler", effect: "once", retry: { base: "2s" } },
              ],
            },
          ),
        ],
        site: "lyon",
        revision: 1,
      });
      expect(rendered).toMatchObject({
        bundle: {
          flows: {
            orders: {
              retry: { attempts: 3, base: "500ms", cap: "30s" },
              to: [{ connector: "wms" }, { connector: "scheduler", effect: "once", retry: { attempts: 4, base: "2s" } }],
            },
          },
        },
      });
      expect(rendered.ok && rendered.bundle.flows.orders?.to[0]).not.toHaveProperty("retry");
    });

    it("keeps what the template says of a repeat, unless a policy enforces another", async () => {
      const path = "flows.orders.to.1.effect";
      const files = [templateFile({ toScheduler: { effect: "once" } }), siteFile("lyon", labels)];
      const says = { deliveries: [{ connector: "scheduler", effect: "checkable" }] };
      expect((await effective(path, [...files, policyFile("a", {}, says)])).value).toBe("once");
      expect((await effective(path, [...files, policyFile("a", {}, { ...says, enforce: true })])).value).toBe("checkable");
    });
  });

  it("tells of a template's value that it is the template's, also where a parameter fills it in", async () => {
    const files = [
      templateFile({ parameters: { attempts: { type: "integer" } }, flow: { retry: { attempts: "${attempts}" } } }),
      siteFile("lyon", labels, { parameters: { attempts: 4 } }),
      policyFile("a", {}, { deliveries: [{ retry: { attempts: 7 } }] }),
    ];
    const because = "it selects all sites; the template goes before it";
    expect(await effective("flows.orders.retry.attempts", files)).toMatchObject({
      value: 4,
      origin: { from: "site" },
      overrides: [{ value: 7, origin: { because } }, { value: 20 }],
    });
    const own = siteFile("lyon", labels, { deliveries: [{ retry: { attempts: 9 } }] });
    const heard = await effective("flows.orders.retry.attempts", [templateFile(), own, ...files.slice(2)]);
    expect(heard.overrides[0]?.origin.because).toBe("it selects all sites; the Site document goes before it");
  });

  it("tells by which parameter a value came into the template", async () => {
    const files = [
      templateFile({ parameters: { modes: { type: "object" } }, flow: { mode: "${modes.orders}" } }),
      siteFile("lyon", labels, { parameters: { wmsUrl: "mqtt://10.0.0.1:1883", modes: { orders: "shadow" } } }),
    ];
    expect(await effective("flows.orders.mode", files)).toMatchObject({
      value: "shadow",
      origin: {
        from: "site",
        document: "Site/lyon",
        because: 'the template writes ${modes.orders}, and the Site document gives "modes"',
      },
    });
    expect(await effective("connectors.wms.url", files)).toMatchObject({
      value: "mqtt://10.0.0.1:1883",
      origin: { from: "site" },
    });
    expect(await effective("connectors.scheduler.url", files)).toMatchObject({ origin: { from: "template" } });
    expect(await effective("parameters.wmsUrl", files)).toMatchObject({
      value: "mqtt://10.0.0.1:1883",
      origin: { from: "site" },
      overrides: [{ value: "mqtt://127.0.0.1:1883", origin: { from: "template" } }],
    });
  });
});
