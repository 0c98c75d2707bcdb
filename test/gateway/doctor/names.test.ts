import { expect, it } from "vitest";
import { namesIn } from "../../../gateway/doctor/names.ts";
import { look, said } from "./place.ts";

const lookUp = (hosts: Record<string, string[]>, resolving: readonly string[]) =>
  look(["names"], {
    known: {
      hosts: async () => new Map(Object.entries(hosts)),
      resolves: async (host) => resolving.includes(host),
    },
  });

it("takes dead name servers for one fault, also beside a name that needs none", async () => {
  const hosts = {
    "central.plant": ["central"],
    "erp.plant": ["erp"],
    localhost: ["scheduler"],
  };
  expect(said(await lookUp(hosts, ["localhost"]))).toEqual([
    "fault|names||none of the names that need a name server resolves: central.plant (central), erp.plant (erp)",
    "ok|names|localhost|resolves (scheduler)",
  ]);
});

it("names one name that is wrong by itself, while name servers answer for another", async () => {
  const hosts = {
    "central.plant": ["central"],
    "erp.plant": ["erp"],
    localhost: ["scheduler"],
  };
  expect(said(await lookUp(hosts, ["localhost", "central.plant"]))).toEqual([
    "ok|names|central.plant|resolves (central)",
    "fault|names|erp.plant|the name does not resolve (erp)",
    "ok|names|localhost|resolves (scheduler)",
  ]);
});

it("reads names and aliases of a hosts' file, and no comment", () => {
  const file = "127.0.0.1\tlocalhost\n# 10.0.0.8 old\n10.0.0.9  Press.plant press # the new one\n\n";
  expect(namesIn(file)).toEqual(["localhost", "press.plant", "press"]);
});
