import type { LossesAnswer, UnconfirmedAnswer } from "../../../central/http/api/losses.ts";
import { ago } from "./fixtures.ts";

const unknownAfter = "what it took in after that is not known";

/** A site whose gateway's disk died two hours ago. */
export function losses(site: string): LossesAnswer {
  const [saidAt, endedAt] = [ago(7_300_000), ago(5_200_000)];
  return {
    site,
    lanes: [
      {
        ...{ lane: "transaction", epoch: "1c9d6e0e-2f6b-4d0e-9a52-0b8a4f0f7c11", saidAt, endedAt },
        ...{ first: 48_212, last: 48_218, count: 7 },
        summary: `48,212 to 48,218 lost: its gateway's last report, of ${saidAt}, spoke of 48,218; ${unknownAfter}`,
      },
      {
        ...{ lane: "telemetry", epoch: "77e0f3f2-8a9c-4a34-8f0e-5b0d4f3b9a02", saidAt, endedAt },
        ...{ first: 9_104_401, last: 9_104_400, count: 0 },
        summary: `all up to 9,104,400 is recorded, as far as its gateway's last report, of ${saidAt}, spoke of it; ${unknownAfter}`,
      },
      {
        ...{ lane: "bulk", epoch: "5a3c1d40-66c3-4be1-bc0b-9e2f4e1f0d93", saidAt: null, endedAt },
        ...{ first: 403, last: null, count: null },
        summary: "what came after 402 is lost, and how much that is is not known: no report of its gateway spoke of it",
      },
    ],
    downlink: { upTo: 913, at: endedAt },
  };
}

export function unconfirmed(site: string): UnconfirmedAnswer {
  const released = (sequence: number, key: string) => ({
    sequence,
    from: "hq",
    acknowledgedAt: ago(7_400_000 + (913 - sequence) * 60_000),
    message: {
      id: `0b8a4f0f-7c11-4d0e-9a52-1c9d6e0e2${sequence}`,
      type: "mfg.production-order.released.v1",
      key,
      time: ago(7_500_000),
    },
    open: [],
    ended: [],
    unreported: [{ connector: "wms", destination: "wms/orders/{data.moId}" }],
  });
  return {
    site,
    messages: [
      released(913, "hq-mo-4711"),
      released(912, "hq-mo-4710"),
      {
        ...released(907, "hq-mo-4702"),
        open: [{ connector: "wms", destination: "wms/orders/{data.moId}", outcome: "unknown", at: ago(7_350_000) }],
        ended: [{ connector: "erp", destination: "POST /orders", outcome: "delivered", at: ago(7_350_000) }],
        unreported: [],
      },
      { ...released(905, ""), message: null },
    ],
    next: 414,
  };
}
