import { join } from "node:path";
import { runChild } from "./child.ts";
import { startDevices } from "./device.ts";
import { plantSettings } from "./messages.ts";
import { type Press, startPress } from "./press.ts";
import { startScheduler } from "./scheduler.ts";
import { startTerminals } from "./terminal.ts";
import { startWms } from "./wms.ts";

/** Everything around the gateway of one plant, in one process: `plant.ts '{…}'` with the settings as JSON. Only orders move things. */
await runChild(async () => {
  const settings = plantSettings.parse(JSON.parse(process.argv[2] ?? ""));
  const { folder, plantDigit, secrets, floorUrl: brokerUrl } = settings;
  const lines = ["LINE-1", "LINE-2"];
  const presses: Press[] = [];
  for (const { name, port } of settings.presses)
    presses.push(await startPress({ port, name, logFile: join(folder, `${name}.jsonl`) }));
  const scheduler = await startScheduler({
    port: settings.schedulerPort,
    secret: secrets.scheduler,
    webhookUrl: settings.webhookUrl,
    logFile: join(folder, "scheduler.jsonl"),
    workCentres: ["PRESS-7", "ASSY-2"],
  });
  const terminals = await startTerminals({
    brokerUrl,
    username: "terminal",
    password: secrets.terminal,
    lines,
    plantDigit,
    logFile: join(folder, "terminals.jsonl"),
    completed: (order) => scheduler.done(order),
  });
  const wms = await startWms({
    port: settings.wmsPort,
    password: secrets.wms,
    plantDigit,
    logFile: join(folder, "wms.jsonl"),
    picked: (order, picks) => terminals.picked(order, picks),
  });
  const devices = await startDevices({
    brokerUrl,
    username: "devices",
    password: secrets.devices,
    lines,
    count: settings.devices,
    samplesPerSecond: settings.samplesPerSecond,
    logFile: join(folder, "devices.jsonl"),
  });
  return {
    url: wms.url,
    status: () => ({
      wms: wms.status(),
      terminals: terminals.status(),
      scheduler: scheduler.status(),
      devices: devices.status(),
    }),
    obey: (order) => {
      if (order !== "quiet") return;
      devices.quiet();
      scheduler.quiet();
    },
    stop: async () => {
      await Promise.all([
        devices.stop(),
        terminals.stop(),
        wms.stop(),
        scheduler.stop(),
        ...presses.map((press) => press.stop()),
      ]);
    },
  };
});
