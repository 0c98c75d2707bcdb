import { Textarea } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import type { RolloutView } from "../../http/api/rollouts.ts";
import { useRollout, useSteer } from "../api/configuration.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Badge, Environment } from "../parts/badge.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Freshness, freshMs } from "../parts/freshness.tsx";
import { useNow } from "../parts/now.ts";
import { Fact, Loaded, Page, PageHead } from "../parts/page.tsx";
import { formatTime } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { When } from "../parts/when.tsx";
import { sitePath } from "../sites/site-card.tsx";
import { rolloutLooks } from "./looks.ts";
import { Tally } from "./tally.tsx";
import { Wave } from "./wave.tsx";

/** One rollout, live: its waves one below the other, each site with its state; what happened; the brakes. */
export function RolloutPage({ number }: { readonly number: number }) {
  const now = useNow();
  const query = useRollout(number);
  const ageMs = query.data ? Math.max(0, now - query.data.receivedAtMs) : 0;
  const rollout = query.data?.answer;
  useTitle(rollout ? `${rolloutLooks[rollout.state].word}: ${rollout.title}` : `Rollout ${number}`);
  const asOf = formatTime(new Date(Date.now() - ageMs).toISOString(), false);
  const live = rollout !== undefined && rollout.endedAt === null;
  return (
    <Page>
      {query.data && query.error ? (
        // its banner says the same as the one of a page at rest
        <Shown
          rollout={query.data.answer}
          stale={ageMs > freshMs}
          freshness={<Freshness ageMs={ageMs} asOf={asOf} error={query.error} />}
        />
      ) : (
        <Loaded query={query} what={`rollout ${number}`} whole>
          {(answer) => (
            <Shown
              rollout={answer}
              stale={false}
              freshness={live ? <Freshness ageMs={ageMs} asOf={asOf} error={query.error} /> : null}
            />
          )}
        </Loaded>
      )}
    </Page>
  );
}

interface ShownProps {
  readonly rollout: RolloutView;
  readonly stale: boolean;
  readonly freshness: ReactNode;
}

function Shown({ rollout, stale, freshness }: ShownProps) {
  return (
    <>
      <PageHead title={rollout.title} above={<Link href="/rollouts">Rollouts</Link>}>
        <span className="quiet">No. {rollout.number}</span>
        <Badge look={rolloutLooks[rollout.state]} />
        <Environment name={rollout.environment} />
        {freshness}
      </PageHead>
      <div className="aged" data-stale={stale || undefined}>
        <div className="change-layout">
          <div className="change-main">
            <div className="rollout-sum" role="status">
              <Tally counts={rollout.counts} />
              <p>
                <b>{rollout.summary}</b>
                {rollout.reason !== null && <span className="row-reason"> {rollout.reason}</span>}
              </p>
            </div>
            <dl className="facts">
              <Fact name="Of">
                <Link href={`/changes/${rollout.change}`}>Change {rollout.change}</Link>
              </Fact>
              {rollout.release !== null && (
                <Fact name="Gateways to">
                  <Link href="/releases">{rollout.release}</Link>
                </Fact>
              )}
              <Fact name="Began">
                <When at={rollout.createdAt} />
              </Fact>
              {rollout.endedAt !== null && (
                <Fact name="Ended">
                  <When at={rollout.endedAt} />
                </Fact>
              )}
              <Fact name="Gate">
                {rollout.strategy.gate.window} healthy, at most {rollout.strategy.gate.maxDeadLetters} dead letters, lag under{" "}
                {rollout.strategy.gate.maxLag}
              </Fact>
            </dl>
          </div>
          <Brakes rollout={rollout} />
        </div>
        <ol className="waves" aria-label="Waves">
          {rollout.plan.map((wave) => (
            <Wave
              key={wave.wave}
              wave={wave}
              current={rollout.endedAt === null && wave.wave === rollout.wave}
              ended={rollout.endedAt !== null}
            />
          ))}
        </ol>
        <section className="card events-card" aria-label="What happened">
          <h2>What happened</h2>
          <ol className="happened">
            {[...rollout.events].reverse().map((event) => (
              <li key={event.number}>
                <time dateTime={event.at} className="num-left">
                  {formatTime(event.at, false)}
                </time>
                <span>
                  {event.site === "" ? (
                    <span className="quiet">rollout</span>
                  ) : (
                    <Link href={sitePath(event.site)}>{event.site}</Link>
                  )}
                </span>
                <span>{event.text === "" ? event.kind : event.text}</span>
              </li>
            ))}
            {rollout.events.length === 0 && <li className="quiet">Nothing yet.</li>}
          </ol>
        </section>
      </div>
    </>
  );
}

const acts = [
  {
    name: "pause",
    word: "Pause",
    doing: "pause the rollout",
    explains: "No further site is told. Those that were told go on.",
    danger: false,
  },
  { name: "resume", word: "Resume", doing: "resume the rollout", explains: "It goes on where it stopped.", danger: false },
  {
    name: "abort",
    word: "Abort and put back",
    doing: "abort the rollout",
    explains: "Every site that was told returns to what it had before. The change ends as aborted.",
    danger: true,
  },
] as const;
type Act = (typeof acts)[number];

function Brakes({ rollout }: { readonly rollout: RolloutView }) {
  const [asked, setAsked] = useState<Act | null>(null);
  const over = rollout.endedAt !== null;
  const shown = acts.filter(({ name }) =>
    name === "resume" ? rollout.state === "paused" : name !== "pause" || rollout.state !== "paused",
  );
  return (
    <section className="card decisions" aria-label="What you can do">
      <h2>What you can do</h2>
      {over ? (
        <p className="quiet">Nothing any more; it has ended.</p>
      ) : (
        shown.map((act) => (
          <ActButton
            key={act.name}
            word={act.word}
            allowed={rollout.may[act.name]?.allowed === true}
            reason={rollout.may[act.name]?.reason}
            prominent={act.name === "resume"}
            danger={act.danger}
            onPress={() => setAsked(act)}
          />
        ))
      )}
      {asked && <SteerDialog rollout={rollout} act={asked} onClose={() => setAsked(null)} />}
    </section>
  );
}

function SteerDialog({
  rollout,
  act,
  onClose,
}: {
  readonly rollout: RolloutView;
  readonly act: Act;
  readonly onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const steer = useSteer(rollout.number);
  const needsReason = act.name !== "resume";
  return (
    <Dialog title={`${act.word}: ${rollout.title}`} opened onClose={onClose}>
      <DialogForm
        act={act.word}
        doing={act.doing}
        danger={act.danger}
        busy={steer.isPending}
        error={steer.error}
        disabled={needsReason && reason.trim() === ""}
        onCancel={onClose}
        onSubmit={() => steer.mutate({ act: act.name, reason: reason.trim() }, { onSuccess: onClose })}
      >
        <p>{act.explains}</p>
        <Textarea
          label={needsReason ? "Reason, for the record" : "Reason, if you like"}
          autosize
          minRows={2}
          maxLength={2000}
          required={needsReason}
          data-autofocus
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
