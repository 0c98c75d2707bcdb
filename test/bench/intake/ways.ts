import { describeFlushes } from "../base/flushes.ts";
import { interleave, type RunOptions } from "../base/run.ts";
import { median, medianRatio, ratio, rounded, spread } from "../base/statistics.ts";
import { type GatewayIntake, measureGateway, measureMosquitto, type PeerIntake, type Way, ways, type whats } from "./gateway.ts";

const wayTitles: Readonly<Record<Way, string>> = {
  broker: "gateway, embedded broker, 4 publishers, window 1000",
  mqtt: "gateway, connector mqtt, from a Mosquitto, window 1000",
  http: "gateway, webhook, 64 kept connections",
};

export interface WayFigures {
  readonly figures: Readonly<Record<string, unknown>>;
  readonly wrong: number;
}

/** What a whole gateway acknowledges a second over each of its ways, beside Mosquitto taking the same publishes. */
export async function measureWays(
  rounds: number,
  seconds: number,
  mosquitto: boolean,
  { peers, quick, report }: RunOptions,
): Promise<WayFigures> {
  const options = { seconds, warmUpSeconds: seconds / 5, mosquitto };
  const [gateways, brokers]: [GatewayIntake[], PeerIntake[]] = [[], []];
  // strace looks once a run: what a system flushes does not change between rounds
  const gateway = async (): Promise<void> => {
    gateways.push(await measureGateway({ ...options, checkFlushes: !quick && gateways.length === 0 }));
  };
  const broker = async (): Promise<void> => {
    brokers.push(await measureMosquitto({ ...options, checkFlushes: !quick && brokers.length === 0 }));
  };
  await interleave(
    rounds,
    [["the whole gateway", gateway], ...(peers && mosquitto ? [["mosquitto", broker] as const] : [])],
    report,
  );

  const rates = (way: Way, what: (typeof whats)[number]): (number | undefined)[] =>
    gateways.map((round) => round.perSecond[way][what]);
  const theirs = brokers.map((round) => round.perSecond);
  const ownFlushes = gateways[0]?.flushes ? describeFlushes(gateways[0].flushes) : "yes";
  const theirFlushes = brokers[0]?.flushes ? describeFlushes(brokers[0].flushes) : "no";
  report.table(
    `Acknowledged messages of 300 bytes a second: median (range) of ${rounds} × ${seconds} s`,
    ["way", "samples", "business messages", "samples of mosquitto's", "flushes before it acknowledges"],
    [
      ...ways.map((way) => [
        wayTitles[way],
        spread(rates(way, "samples")),
        spread(rates(way, "picks")),
        String(ratio(medianRatio(rates(way, "samples"), theirs)) ?? ""),
        ownFlushes,
      ]),
      ...(brokers.length > 0
        ? [["mosquitto itself, 4 publishers, window 1000", spread(theirs), "the same", "1", theirFlushes]]
        : []),
    ],
  );
  const at20k = (pick: (of: GatewayIntake["at20k"]) => number): number[] => gateways.map((round) => pick(round.at20k));
  report.table(
    "The gateway's main thread while its broker is offered 20,000 samples a second",
    ["acknowledged/s", "loop delay p50 ms", "p99 ms", "max ms"],
    [
      [
        spread(at20k((of) => of.takenPerSecond)),
        spread(at20k((of) => of.p50)),
        spread(at20k((of) => of.p99)),
        spread(at20k((of) => of.max)),
      ],
    ],
  );
  const lost = gateways.reduce((sum, { tally, failed }) => sum + Math.max(0, tally.lost - failed) + tally.deadLetters, 0);
  const doubled = gateways.reduce((sum, { tally }) => sum + tally.doubled, 0);
  const wayFigures = Object.fromEntries(
    ways.map((way) => [
      way,
      {
        samplesPerSecond: middle(rates(way, "samples")),
        businessPerSecond: middle(rates(way, "picks")),
        ratioToMosquitto: ratio(medianRatio(rates(way, "samples"), theirs)),
      },
    ]),
  );
  return {
    figures: {
      ...wayFigures,
      gatewayAt20k: {
        takenPerSecond: middle(at20k((of) => of.takenPerSecond)),
        loopDelayP99Ms: middle(at20k((of) => of.p99)),
      },
      peers: brokers.length === 0 ? {} : { mosquitto: { acknowledgedPerSecond: middle(theirs), flushes: theirFlushes } },
      lost,
      doubled,
    },
    wrong: lost + doubled,
  };
}

function middle(rates: readonly (number | undefined)[]): number | null {
  const known = rates.filter((rate) => rate !== undefined);
  return known.length === 0 ? null : rounded(median(known));
}
