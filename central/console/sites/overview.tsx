import type { SiteCondition, SitesAnswer } from "../../http/views.ts";
import { useHistory } from "../parts/history-context.ts";
import { Icon } from "../parts/icon.tsx";
import { Sparkline } from "../parts/sparkline.tsx";
import { formatCount, formatRate, plural } from "../parts/time.ts";
import { conditionIcon, conditionOrder, conditionWord } from "./condition.tsx";

interface OverviewProps {
  readonly answer: SitesAnswer;
  readonly nowMs: number;
  readonly stale: boolean;
  readonly shown: SiteCondition | null;
  readonly onShow: (condition: SiteCondition | null) => void;
}

/** The strip at the top: how many sites are how, and what flows. A condition is also the filter of the list. */
export function Overview({ answer, nowMs, stale, shown, onShow }: OverviewProps) {
  const heard = answer.sites.filter((site) => site.condition !== "unknown");
  const silent = answer.sites.length - heard.length;
  const waiting = heard
    .flatMap((site) => site.lanes)
    .reduce((sum, lane) => sum + (lane.lane === "transaction" ? lane.waiting : 0), 0);
  const deadLetters = answer.sites.reduce((sum, site) => sum + site.deadLetters, 0);
  return (
    <section className="overview" aria-label="All sites together">
      <div className="card tally">
        <h2>Sites</h2>
        <fieldset className="tally-conditions" aria-label="Show only sites that are">
          {conditionOrder.map((condition) => {
            const count = answer.sites.filter((site) => site.condition === condition).length;
            return count === 0 ? null : (
              <button
                key={condition}
                type="button"
                className="tally-item"
                data-condition={stale ? "stale" : condition}
                aria-pressed={shown === condition}
                onClick={() => onShow(shown === condition ? null : condition)}
              >
                <Icon name={conditionIcon(condition)} size={14} />
                <b>{formatCount(count)}</b> {stale ? (count === 1 ? "was " : "were ") : ""}
                {conditionWord(condition).toLowerCase()}
              </button>
            );
          })}
        </fieldset>
        <p className="tally-rest">
          <span data-tone={waiting > 0 ? "busy" : undefined}>
            <b>{formatCount(waiting)}</b> transactions waiting in plants
            {silent > 0 && `, and nobody knows how many in ${plural(silent, "silent site")}`}
          </span>
          <span data-tone={deadLetters > 0 ? "bad" : undefined}>
            <b>{formatCount(deadLetters)}</b> {deadLetters === 1 ? "dead letter" : "dead letters"}
          </span>
        </p>
      </div>
      <Rate
        title="Transactions"
        series="rate/transactions"
        value={answer.rate.transactionsPerSecond}
        nowMs={nowMs}
        stale={stale}
      />
      <Rate title="Samples" series="rate/samples" value={answer.rate.samplesPerSecond} nowMs={nowMs} stale={stale} />
    </section>
  );
}

interface RateProps {
  readonly title: string;
  readonly series: string;
  readonly value: number;
  readonly nowMs: number;
  readonly stale: boolean;
}

function Rate({ title, series, value, nowMs, stale }: RateProps) {
  const history = useHistory();
  const readings = history.readings(series);
  const windowMs = history.windowMs(nowMs);
  const peak = readings.reduce((most, reading) => Math.max(most, reading.value), 0);
  return (
    <div className="card rate" data-series={series}>
      <div className="rate-words">
        <h2>{title}</h2>
        <p className="rate-value">
          {stale ? "–" : formatRate(value)}
          <span className="tiny"> /s</span>
        </p>
        <p className="tiny">peak {formatRate(peak)} /s</p>
      </div>
      <div className="rate-chart">
        <Sparkline
          readings={readings}
          nowMs={nowMs}
          windowMs={windowMs}
          height={58}
          floor={1}
          label={`${title} per second over the last minutes, peak ${formatRate(peak)}`}
        />
        <p className="rate-axis tiny" aria-hidden="true">
          <span>{Math.round(windowMs / 60_000)} min ago</span>
          <span>now</span>
        </p>
      </div>
    </div>
  );
}
