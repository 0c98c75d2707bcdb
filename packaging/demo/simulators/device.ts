import type { Entry } from "./entry.ts";
import { Outbox } from "./outbox.ts";
import { openRecorder } from "./record.ts";

export interface DeviceOptions {
  readonly brokerUrl: string;
  readonly username: string;
  readonly password: string;
  readonly lines: readonly string[];
  readonly count: number;
  readonly samplesPerSecond: number;
  readonly logFile: string;
}
export interface Devices {
  /** No more samples; what was not acknowledged yet still goes out. */
  quiet(): void;
  status(): { readonly sent: number; readonly acked: number; readonly open: number; readonly skipped: number };
  stop(): Promise<void>;
}

/** A device remembers this many samples while the gateway is away, and forgets older ones. */
const memory = 50;

/**
 * Vibration sensors on the gateway's own broker, QoS 1. No two samples of a device carry the same stamp, and the value counts up in its last digits, so
 * that each one can be told from all others.
 */
export async function startDevices(options: DeviceOptions): Promise<Devices> {
  const record = await openRecorder<Entry>(options.logFile);
  const counts = { sent: 0, acked: 0, skipped: 0 };
  const devices = Array.from({ length: options.count }, (_, index) => {
    const device = `VIB-${String(index + 1).padStart(2, "0")}`;
    const line = options.lines[index % options.lines.length] ?? "LINE-1";
    const outbox = new Outbox({
      url: options.brokerUrl,
      clientId: `device-${device}`,
      username: options.username,
      password: options.password,
      limit: memory,
      dropped: (count) => {
        counts.skipped += count;
      },
    });
    outbox.start();
    let n = 0;
    let lastAt = 0;
    const sample = (): void => {
      n += 1;
      lastAt = Math.max(Date.now(), lastAt + 1);
      const at = new Date(lastAt).toISOString();
      const value = Number((2 + (index % 5) + (n % 100_000) / 100_000).toFixed(5));
      outbox.add({
        topic: `floor/${line}/${device}/sample`,
        payload: JSON.stringify({ item: "vibration", value, unit: "C16", at }),
        qos: 1,
        sending: () => {
          counts.sent += 1;
          record.note({ kind: "sample", device, item: "vibration", value, sampleAt: at });
        },
        acked: () => {
          counts.acked += 1;
          record.note({ kind: "sample-acked", device, sampleAt: at });
        },
      });
    };
    return { outbox, sample };
  });

  // one tick serves all devices, each at its own turn of the second; a late tick makes up for the turns it missed
  const perSecond = options.samplesPerSecond * options.count;
  const began = performance.now();
  let turn = 0;
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) / 1000) * perSecond; turn < due; turn += 1)
      devices[turn % devices.length]?.sample();
  }, 10);

  return {
    quiet: () => clearInterval(timer),
    status: () => ({ ...counts, open: devices.reduce((sum, { outbox }) => sum + outbox.waiting, 0) }),
    stop: async () => {
      clearInterval(timer);
      await Promise.all(devices.map(({ outbox }) => outbox.stop()));
      await record.close();
    },
  };
}
