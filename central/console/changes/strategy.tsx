import { useState } from "react";
import type { ChangeView } from "../../http/api/changes.ts";
import { Fact } from "../parts/page.tsx";
import { StrategyDialog } from "./strategy-dialog.tsx";
import { wavesToText } from "./waves-text.ts";

/** How it reaches the sites, as sentences. */
export function StrategyFacts({ change }: { readonly change: ChangeView }) {
  const [editing, setEditing] = useState(false);
  const { strategy, expedited } = change;
  const { gate, unreachable } = strategy;
  return (
    <section className="card strategy" aria-label="How it is rolled out">
      <div className="section-head">
        <h2>How it is rolled out</h2>
        {change.state === "draft" && change.may.edit?.allowed && (
          <button type="button" className="link" onClick={() => setEditing(true)}>
            Edit
          </button>
        )}
      </div>
      {editing && <StrategyDialog change={change} onClose={() => setEditing(false)} />}
      <dl className="facts">
        <Fact name="Begins">{strategy.start === "auto" ? "as soon as it is approved" : "when a person starts it"}</Fact>
        <Fact name="Waves">
          {expedited ? "none: all sites at once (expedited)" : wavesToText(strategy.waves).split("\n").join(" → ")}
        </Fact>
        <Fact name="Goes on when">
          all of the wave were healthy for {gate.window}: at most {gate.maxDeadLetters} new dead letters, lag under {gate.maxLag},{" "}
          {gate.maxRestarts} restarts
        </Fact>
        <Fact name={`Out of reach for ${unreachable.after}`}>
          {unreachable.then === "continue" ? "goes on; the site gets it when it returns" : "pauses"}
        </Fact>
        <Fact name="Put back when more than">
          {strategy.maxFailures} {strategy.maxFailures === 1 ? "site fails" : "sites fail"}
        </Fact>
      </dl>
    </section>
  );
}
