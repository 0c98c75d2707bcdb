import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, it } from "vitest";
import { askNameServers, type NameServers } from "../../../gateway/doctor/name-servers.ts";
import { startNameServer } from "../../support/name-server.ts";
import { look, said } from "./place.ts";

const hosts = {
  "central.plant": ["central"],
  "erp.plant": ["erp"],
  "scheduler.plant": ["scheduler"],
};

/** Where one of the names stands in the hosts' file. */
const lookUp = (servers: Partial<NameServers> | undefined, resolving: readonly string[] = ["scheduler.plant"]) =>
  look(["names"], {
    place: { nameServers: async () => servers && { answering: [], silent: [], found: new Set(), ...servers } },
    known: {
      hosts: async () => new Map(Object.entries(hosts)),
      resolves: async (host) => resolving.includes(host),
    },
  });

const each = [
  "fault|names|central.plant|the name does not resolve (central)",
  "fault|names|erp.plant|the name does not resolve (erp)",
  "ok|names|scheduler.plant|resolves (scheduler)",
];

it("takes name servers that are silent for one fault, beside a name that needs none", async () => {
  expect(said(await lookUp({ silent: ["10.0.0.53"] }))).toEqual([
    "fault|names||no name server answers (10.0.0.53), and so does not resolve: central.plant (central), erp.plant (erp)",
    "ok|names|scheduler.plant|resolves (scheduler)",
  ]);
});

it("names the silence of name servers also where it holds up one name alone", async () => {
  expect(said(await lookUp({ silent: ["10.0.0.53"] }, ["erp.plant", "scheduler.plant"]))[0]).toBe(
    "fault|names|central.plant|no name server answers (10.0.0.53), and so does not resolve: central.plant (central)",
  );
});

it.each<[string, Partial<NameServers> | undefined]>([
  ["while name servers answer", { answering: ["10.0.0.53"] }],
  ["where it cannot be told whether they answer", undefined],
  ["where there are none to ask", {}],
  ["while one of two answers, and knows none of them", { answering: ["10.0.0.54"], silent: ["10.0.0.53"] }],
])("names each name that is wrong, though no name that needs a name server resolves: %s", async (_, servers) => {
  expect(said(await lookUp(servers))).toEqual(each);
});

it("names a name server that is silent, where the next one knows the name too late, and a name that is wrong beside it", async () => {
  const servers = { answering: ["10.0.0.54"], silent: ["10.0.0.53"], found: new Set(["erp.plant"]) };
  expect(said(await lookUp(servers))).toEqual([
    "fault|names|erp.plant|not every name server answers (10.0.0.53), and so does not resolve: erp.plant (erp)",
    ...each.filter((line) => !line.includes("erp")),
  ]);
});

it("asks each name server: one that knows no such name answers; one that fails, or is silent or away, does not", async () => {
  await using knowing = await startNameServer("127.0.0.1", { port: 0, knows: ["erp.plant"] });
  await using failing = await startNameServer("127.0.0.1", { port: 0, code: 2 });
  await using away = await startNameServer("127.0.0.1", { port: 0 });
  await away.stop();
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  const nowhere = `127.0.0.1:${silent.address().port}`;
  const servers = [knowing.address, failing.address, away.address, nowhere];
  expect(await askNameServers(["erp.plant", "central.plant"], { servers })).toEqual({
    answering: [knowing.address],
    silent: [failing.address, away.address, nowhere],
    found: new Set(["erp.plant"]),
  });
  silent.close();
  expect(await askNameServers([`${"x".repeat(64)}.plant`], { servers: [knowing.address] })).toMatchObject({
    answering: [],
    silent: [],
  });
});

it("takes a name server that fails for one name and answers for another one for no silent one", async () => {
  await using picky = await startNameServer("127.0.0.1", {
    port: 0,
    knows: ["central.plant"],
    code: 2,
    fails: ["erp.elsewhere"],
  });
  const asked = { servers: [picky.address], others: ["central.plant"] };
  expect(await askNameServers(["erp.elsewhere"], asked)).toEqual({ answering: [picky.address], silent: [], found: new Set() });
});

it("asks for every name, for a short one in the machine's domains too, and not at addresses whose interface it cannot name", async () => {
  await using knowing = await startNameServer("127.0.0.1", { port: 0, knows: ["wms.plant.local", "e.plant"] });
  const names = ["wms", "a.plant", "b.plant", "c.plant", "d.plant", "e.plant"];
  const servers = [knowing.address, "fe80::1%lo"];
  expect(await askNameServers(names, { servers, domains: ["elsewhere.local", "plant.local"] })).toEqual({
    answering: [knowing.address],
    silent: [],
    found: new Set(["wms", "e.plant"]),
  });
});
