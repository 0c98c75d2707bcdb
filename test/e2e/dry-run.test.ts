import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import type { DryRunView } from "../../central/http/api/sites.ts";
import type { MessagesAnswer, SitesAnswer } from "../../central/http/views.ts";
import { QueueReader, queueFile } from "../../gateway/queue/read.ts";
import type { ShadowFlow } from "../../protocol/index.ts";
import { plantgate } from "../support/command.ts";
import { startHttpPeer } from "../support/http-peer.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import { mapOf, pick, pickFields, pickFlow, pickPlant } from "../support/pick-plant.ts";
import { until } from "../support/process.ts";
import { openSystem, reported } from "../support/system.ts";

const inputs = 1200;
/** These carry an SSCC that is none, which nobody looked at until now. */
const wrong = new Set([17, 400, 801, 1100]);

it("tells by field what a changed mapping makes of a site's recorded messages, and sends nothing anywhere", async () => {
  await using broker = await startMosquitto();
  await using erp = await startHttpPeer((_, response) => response.writeHead(200).end("{}"));
  await using system = openSystem();
  const central = await system.central();
  const gateway = await system.gateway("lyon", central);
  const documents = (map?: string) => pickPlant({ wmsUrl: broker.url, erpUrl: erp.url, ...(map === undefined ? {} : { map }) });
  await reported(central, "lyon", await central.push("lyon", documents()));
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  let echoes = 0;
  wms.on("message", () => {
    echoes += 1;
  });
  await wms.subscribeAsync("echo/#", { qos: 1 });
  const site = async () => (await central.get<SitesAnswer>("/v1/sites")).sites.find(({ name }) => name === "lyon");
  try {
    await until(site, (lyon) => lyon?.connectors.some(({ name, state }) => name === "wms" && state === "up") === true);
    await Promise.all(
      Array.from({ length: inputs }, (_, index) => {
        const sscc = wrong.has(index) ? "34012345000000001X" : "340123450000000018";
        return wms.publishAsync("wms/picks/1", JSON.stringify(pick(index, { sscc })), { qos: 1 });
      }),
    );
    await until(
      () => [echoes, erp.calls.length],
      (counts) => counts.every((count) => count === inputs),
    );

    const standing = async () => {
      using reader = new QueueReader(queueFile(gateway.dataDir));
      const { deliveries, deadLetters, lanes } = reader.depth();
      const newest = await central.get<MessagesAnswer>("/v1/messages?limit=1");
      return {
        echoes,
        posts: erp.calls.length,
        deliveries,
        deadLetters,
        sequences: lanes.map(({ lane, last, dispatched, acknowledged }) => ({ lane, last, dispatched, acknowledged })),
        newest: newest.messages,
      };
    };
    // deliveries leave facts about themselves, which travel too
    const before = await until(
      standing,
      ({ deliveries, sequences }) =>
        deliveries.waiting === 0 &&
        sequences.some(({ lane, last, acknowledged }) => lane === "transaction" && last >= 3 * inputs && last === acknowledged),
    );

    const { lot: _, ...others } = pickFields;
    const map = mapOf({
      ...others,
      serial: "payload.lot",
      qtyPicked: '$quantity(payload.qty * 1000, "GRM")',
      sscc: "payload.sscc",
    });
    const change = await central.post<{ number: number }>("/v1/changes", {
      title: "Picks in grams, by serial",
      environment: "dev",
      files: documents(map).map((document) => ({ name: `${document.kind}.yaml`, text: JSON.stringify(document) })),
    });
    expect(change).toMatchObject({ status: 201 });
    const asked = await central.post<DryRunView>("/v1/sites/lyon/dry-runs", { change: change.body.number, messages: 1000 });
    expect(asked).toMatchObject({
      status: 202,
      body: { state: "asked", site: "lyon", change: change.body.number, result: null },
    });
    const ran = await until(
      () => central.get<DryRunView>(`/v1/sites/lyon/dry-runs/${asked.body.id}`),
      ({ state }) => state !== "asked",
    );
    expect(ran).toMatchObject({ state: "done", reason: null });
    const { result } = ran;
    const newest = [...wrong].filter((index) => index >= inputs - 1000).length;
    const mapped = 1000 - newest;
    expect(result).toMatchObject({ inputs: 1000, same: 0, different: 1000, skipped: 0 });
    expect(result?.flows).toHaveLength(1);
    const [flow] = result!.flows;
    expect(flow).toMatchObject({ flow: "picks", inputs: 1000, different: 1000, refusedBefore: 0, refusedAfter: newest });
    expect(flow?.reasons).toMatchObject([{ code: "INPUT_INVALID", count: newest, message: expect.stringContaining("sscc") }]);
    const fields = new Map(flow?.fields.map((field) => [field.path, field]));
    expect([...fields.keys()].sort()).toEqual([
      "data.lot",
      "data.qtyPicked.unitCode",
      "data.qtyPicked.value",
      "data.serial",
      "data.sscc",
      "to.erp.post.body.lot",
      "to.erp.post.body.qtyPicked.unitCode",
      "to.erp.post.body.qtyPicked.value",
      "to.erp.post.body.serial",
      "to.erp.post.body.sscc",
      "to.wms.topic.body.qty",
    ]);
    for (const { path, count } of fields.values()) expect([path, count]).toEqual([path, mapped]);
    expect(fields.get("data.qtyPicked.unitCode")).toMatchObject({ before: "KGM", after: "GRM" });
    expect(fields.get("data.lot")).toMatchObject({ before: expect.stringMatching(/^L\d+$/) });
    expect(fields.get("data.lot")).not.toHaveProperty("after");
    expect(fields.get("data.serial")).not.toHaveProperty("before");

    expect(await standing()).toEqual(before);

    // as a person sees it; and a gateway that ends in the middle is asked again when it is back
    const access = ["--central", central.url, "--token-file", join(central.dataDir, "admin.token")];
    const printed = await plantgate(["dry-run", "lyon", "--id", ran.id, ...access], { cwd: system.folder });
    expect(printed).toMatchObject({ code: 0, err: "" });
    expect(printed.out).toContain("lyon: 1000 inputs: 0 the same, 1000 different, 0 not run");
    expect(printed.out).toMatch(new RegExp(`data\\.qtyPicked\\.unitCode +${mapped} +"KGM" +"GRM"`));
    const again = await central.post<DryRunView>("/v1/sites/lyon/dry-runs", { change: change.body.number, messages: 500 });
    await gateway.process.kill("SIGKILL");
    const restarted = await gateway.restart();
    const ended = await plantgate(["dry-run", "lyon", "--id", again.body.id, "--wait", "-o", "json", ...access], {
      cwd: system.folder,
    });
    expect(JSON.parse(ended.out)).toMatchObject({ state: "done", result: { inputs: 500, different: 500 } });
    const afterwards = await standing();
    expect({ echoes: afterwards.echoes, posts: afterwards.posts, deliveries: afterwards.deliveries }).toEqual({
      echoes: before.echoes,
      posts: before.posts,
      deliveries: before.deliveries,
    });
    const shadow = await plantgate(["shadow", "--data", restarted.dataDir], { cwd: system.folder });
    expect(shadow).toMatchObject({ code: 0, out: "none\n" });
  } finally {
    await wms.endAsync();
  }
});

it("reports at the plant and at central what a flow in shadow would do, which does none of it", async () => {
  await using broker = await startMosquitto();
  await using erp = await startHttpPeer((_, response) => response.writeHead(200).end("{}"));
  await using system = openSystem();
  const central = await system.central();
  const gateway = await system.gateway("lyon", central);
  const grams = { ...pickFlow(mapOf({ ...pickFields, qtyPicked: '$quantity(payload.qty * 1000, "GRM")' })), mode: "shadow" };
  const documents = pickPlant({ wmsUrl: broker.url, erpUrl: erp.url, flows: { "picks-next": grams } });
  await reported(central, "lyon", await central.push("lyon", documents));
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  try {
    await until(
      async () => (await central.get<SitesAnswer>("/v1/sites")).sites[0]?.connectors ?? [],
      (connectors) => connectors.some(({ name, state }) => name === "wms" && state === "up"),
    );
    for (let number = 1; number <= 20; number++) await wms.publishAsync("wms/picks/1", JSON.stringify(pick(number)), { qos: 1 });
    const data = ["--data", gateway.dataDir];
    const listed = await until(
      () => plantgate(["shadow", ...data], { cwd: system.folder }),
      ({ out }) => /picks-next +picks +0 +20 +0 +0 +0 +0 /.test(out),
    );
    expect(listed).toMatchObject({ code: 0, err: "" });
    // central hears of it in its own time: how far it has come by then is not said
    const [shadow] = await until(
      async () => (await central.get<{ flows: ShadowFlow[] }>("/v1/sites/lyon/shadow")).flows,
      (flows) => flows.length > 0 && flows[0]!.different > 0,
    );
    expect(shadow).toMatchObject({ flow: "picks-next", against: ["picks"], same: 0, onlyLive: 0, onlyShadow: 0, refused: 0 });
    expect(shadow?.fields.map(({ path }) => path)).toContain("data.qtyPicked.unitCode");
    await until(
      () => erp.calls.length,
      (count) => count === 20,
    );
    const { messages } = await central.get<MessagesAnswer>("/v1/messages?type=mfg.pick.confirmed.v1&limit=100");
    expect(messages).toHaveLength(20);

    const one = await plantgate(["shadow", "picks-next", ...data], { cwd: system.folder });
    expect(one.out).toMatch(/data\.qtyPicked\.unitCode +20 +"KGM" +"GRM"/);
    expect(await plantgate(["shadow", "picks", ...data], { cwd: system.folder })).toMatchObject({ code: 1 });
    await gateway.process.kill("SIGTERM");
    const stopped = await plantgate(["shadow", "-o", "json", ...data], { cwd: system.folder });
    expect(JSON.parse(stopped.out)).toMatchObject({ flows: [{ flow: "picks-next", different: 20 }] });
  } finally {
    await wms.endAsync();
  }
});
