import { requireService } from "../../support/services.ts";
import { interleave, type RunOptions, type RunResult } from "../base/run.ts";
import { median, medianRatio, ratio, rounded, spread } from "../base/statistics.ts";
import { replayMosquitto } from "./mosquitto.ts";
import { replayNats } from "./nats.ts";
import { type OwnReplay, replayOurs } from "./ours.ts";
import type { PeerReplay, Replayed } from "./replayed.ts";

/** From here on the question is what the gateway needs, not how it compares. */
const manyMessages = 1_000_000;

const natsNames = ["nats, raw client", "nats, npm client", "nats over TLS, raw client"] as const;
type NatsName = (typeof natsNames)[number];
type Name = "plantgate" | "plantgate over TLS" | "mosquitto bridge" | NatsName;

/** A backlog that waits while the link is down, and what becomes of it when the link returns. */
export async function runReplay(options: RunOptions): Promise<RunResult> {
  const { report, quick } = options;
  const messages = options.messages ?? (quick ? 3000 : 200_000);
  const many = messages >= manyMessages;
  const rounds = options.rounds ?? (quick || many ? 1 : 3);
  const outageSeconds = quick ? 1 : 8;
  const base = { messages, outageSeconds, report };
  // disk is given back only where central says that it never loses what it acknowledged
  const ours = (tls: boolean) => () => replayOurs({ ...base, tls, ...(many ? { recoveryPointSeconds: 0 } : {}) });
  const nats = (client: "raw" | "npm", tls: boolean) => () => replayNats({ ...base, client, tls });
  const systems: [Name, () => Promise<Replayed>][] = [["plantgate", ours(false)]];
  if (!many) systems.push(["plantgate over TLS", ours(true)]);
  // what is missing is said by the one who looks for it
  if (options.peers && (await requireService("mosquitto"))) systems.push(["mosquitto bridge", () => replayMosquitto(base)]);
  if (options.peers && (await requireService("nats-server"))) {
    for (const name of natsNames) systems.push([name, nats(name.includes("npm") ? "npm" : "raw", name.includes("TLS"))]);
  }
  const results = await interleave(rounds, systems, report);
  const of = <Kind extends Replayed = Replayed>(name: Name): readonly Kind[] => (results.get(name) ?? []) as Kind[];

  printRates(options, messages, results);
  const plain = of<OwnReplay>("plantgate");
  printGateway(options, plain);
  const all = [...plain, ...of("plantgate over TLS")];
  const wrong = all.reduce((sum, { tally }) => sum + tally.lost + tally.doubled + tally.reordered, 0);
  return { figures: { messages, rounds, outageSeconds, ...compare(of), ...gatewayFigures(plain), wrong }, wrong };
}

type Of = <Kind extends Replayed = Replayed>(name: Name) => readonly Kind[];

function compare(of: Of): Record<string, unknown> {
  const plain = of("plantgate");
  const secure = of("plantgate over TLS");
  const mosquitto = of<PeerReplay>("mosquitto bridge");
  // a rate counts as it is best: what the hub's stream got, or what its consumer got
  const stored = ({ acknowledgedPerSecond, readPerSecond }: Replayed): number => Math.max(acknowledgedPerSecond, readPerSecond);
  const fastest = (names: readonly NatsName[], rate: (round: Replayed) => number): (number | undefined)[] =>
    of(names[0] as NatsName).map((_, round) =>
      Math.max(...names.map((name) => of(name)[round]).flatMap((result) => (result ? [rate(result)] : []))),
    );
  const [plainNats, secureNats] = [natsNames.slice(0, 2), natsNames.slice(2)];
  const acknowledged = (rounds: readonly Replayed[]) => rounds.map((round) => round.acknowledgedPerSecond);
  const read = (rounds: readonly Replayed[]) => rounds.map((round) => round.readPerSecond);
  const readRate = (round: Replayed): number => round.readPerSecond;
  return {
    ratioToNats: ratio(medianRatio(acknowledged(plain), fastest(plainNats, stored))),
    ratioToMosquitto: ratio(medianRatio(acknowledged(plain), acknowledged(mosquitto))),
    readRatioToNats: ratio(medianRatio(read(plain), fastest(plainNats, readRate))),
    readRatioToMosquitto: ratio(medianRatio(read(plain), read(mosquitto))),
    ...figuresOf(plain),
    tls: {
      ratioToNats: ratio(medianRatio(acknowledged(secure), fastest(secureNats, stored))),
      readRatioToNats: ratio(medianRatio(read(secure), fastest(secureNats, readRate))),
      ...figuresOf(secure),
    },
    peers: Object.fromEntries(
      (["mosquitto bridge", ...natsNames] as const)
        .filter((name) => of(name).length > 0)
        .map((name) => [name, { ...figuresOf(of(name)), lost: total(of(name), "lost"), doubled: total(of(name), "doubled") }]),
    ),
  };
}

function figuresOf(rounds: readonly Replayed[]): Record<string, number> {
  if (rounds.length === 0) return {};
  const middle = (pick: (round: Replayed) => number): number => rounded(median(rounds.map(pick)));
  return {
    firstBatchSeconds: middle((round) => round.firstBatchSeconds),
    acknowledgedPerSecond: middle((round) => round.acknowledgedPerSecond),
    acknowledgedSeconds: middle((round) => round.acknowledgedSeconds),
    readPerSecond: middle((round) => round.readPerSecond),
    readSeconds: middle((round) => round.readSeconds),
    fillPerSecond: middle((round) => round.fillPerSecond),
  };
}

function gatewayFigures(rounds: readonly OwnReplay[]): Record<string, number> {
  return {
    openMs: rounded(median(rounds.map((round) => round.openMs))),
    gatewayPeakRssMiB: rounded(Math.max(...rounds.map((round) => round.gatewayPeakRssMiB))),
    centralPeakRssMiB: rounded(Math.max(...rounds.map((round) => round.centralPeakRssMiB))),
    diskBeforeMiB: rounded(median(rounds.map((round) => round.diskBeforeMiB))),
    diskAfterMiB: rounded(median(rounds.map((round) => round.diskAfterMiB))),
  };
}

function total(rounds: readonly Replayed[], what: "lost" | "doubled"): number {
  return rounds.reduce((sum, { tally }) => sum + tally[what], 0);
}

function flushes(name: Name): string {
  return name.startsWith("plantgate") ? "both ends" : "no";
}

function printRates({ report }: RunOptions, messages: number, results: ReadonlyMap<Name, readonly Replayed[]>): void {
  report.table(
    `Replay of ${messages.toLocaleString("en-US")} samples of about 690 bytes after the link's return: median (range) of the rounds`,
    [
      "system",
      "flushes before it acknowledges",
      "first batch s",
      "acknowledged/s",
      "all s",
      "read/s",
      "all read s",
      "taken in/s",
      "lost",
      "doubled",
    ],
    [...results].map(([name, rounds]) => {
      const text = (pick: (round: Replayed) => number): string => spread(rounds.map(pick));
      return [
        name,
        flushes(name),
        text((round) => round.firstBatchSeconds),
        text((round) => round.acknowledgedPerSecond),
        text((round) => round.acknowledgedSeconds),
        text((round) => round.readPerSecond),
        text((round) => round.readSeconds),
        text((round) => round.fillPerSecond),
        total(rounds, "lost"),
        total(rounds, "doubled"),
      ];
    }),
  );
  report.note(
    [
      "",
      "acknowledged: plantgate: answered by central, flushed there; nats: in the hub's stream; mosquitto: at the consumer, its hub shows nothing before.",
      "read: one by one, each ordinal looked at: a consumer of central's API; a subscriber at the hub. Rates are from the first to the last.",
      "Flushing: plantgate by test/e2e/acknowledged-means-on-disk.test.ts; nats syncs every 2 min by default, mosquitto writes a snapshot now and then:",
      "neither made a sync call for 2,000 acknowledged messages under strace (`npm run bench -- intake` looks again).",
    ].join("\n"),
  );
}

function printGateway({ report }: RunOptions, rounds: readonly OwnReplay[]): void {
  const text = (pick: (round: OwnReplay) => number): string => spread(rounds.map(pick));
  report.table(
    "The gateway with this backlog",
    ["opens its queue in ms", "peak memory MiB", "queue on disk before MiB", "after the drain MiB", "central's peak memory MiB"],
    [
      [
        text((round) => round.openMs),
        text((round) => round.gatewayPeakRssMiB),
        text((round) => round.diskBeforeMiB),
        text((round) => round.diskAfterMiB),
        text((round) => round.centralPeakRssMiB),
      ],
    ],
  );
}
