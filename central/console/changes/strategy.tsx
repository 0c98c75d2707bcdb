import type { RolloutStrategy } from "../../http/api/changes.ts";

/** How it reaches the sites, as sentences. */
export function StrategyFacts({ strategy, expedited }: { readonly strategy: RolloutStrategy; readonly expedited: boolean }) {
  const { gate, unreachable } = strategy;
  return (
    <section className="card strategy" aria-label="How it is rolled out">
      <h2>How it is rolled out</h2>
      <dl className="facts">
        <div>
          <dt>Begins</dt>
          <dd>{strategy.start === "auto" ? "as soon as it is approved" : "when a person starts it"}</dd>
        </div>
        <div>
          <dt>Waves</dt>
          <dd>{expedited ? "none: all sites at once (expedited)" : strategy.waves.map(waveWords).join(" → ")}</dd>
        </div>
        <div>
          <dt>Goes on when</dt>
          <dd>
            all of the wave were healthy for {gate.window}: at most {gate.maxDeadLetters} new dead letters, lag under{" "}
            {gate.maxLag}, {gate.maxRestarts} restarts
          </dd>
        </div>
        <div>
          <dt>Out of reach for {unreachable.after}</dt>
          <dd>{unreachable.then === "continue" ? "goes on; the site gets it when it returns" : "pauses"}</dd>
        </div>
        <div>
          <dt>Put back when more than</dt>
          <dd>
            {strategy.maxFailures} {strategy.maxFailures === 1 ? "site fails" : "sites fail"}
          </dd>
        </div>
      </dl>
    </section>
  );
}

function waveWords(wave: RolloutStrategy["waves"][number]): string {
  if ("sites" in wave) return wave.sites.join(", ");
  if ("count" in wave) return wave.count === 1 ? "1 site" : `${wave.count} sites`;
  return wave.percent === 100 ? "all" : `${wave.percent} %`;
}
