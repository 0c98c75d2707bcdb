import { useShadow } from "../api/fleet.ts";
import { FieldDifferences, Refusals } from "../parts/field-differences.tsx";
import { Empty, Fact, Loaded } from "../parts/page.tsx";
import { formatCount } from "../parts/time.ts";
import { When } from "../parts/when.tsx";

/** What the flows in shadow would have sent, beside what the live ones did: whether one may go live. */
export function Shadow({ site }: { readonly site: string }) {
  const query = useShadow(site);
  return (
    <Loaded query={query} what={`the flows in shadow of ${site}`}>
      {({ flows }) =>
        flows.length === 0 ? (
          <Empty>
            <p>
              No flow is in shadow here, or none has reported yet. A flow with <code>mode: shadow</code> maps and validates, sends
              nothing, and is compared with the live ones.
            </p>
          </Empty>
        ) : (
          <div className="stack">
            {flows.map((flow) => (
              <section key={flow.flow} className="card" aria-label={`Flow ${flow.flow}`}>
                <div className="flow-head">
                  <h3 className="flow-name">{flow.flow}</h3>
                  <span className="quiet">
                    {flow.against.length > 0 ? `beside ${flow.against.join(", ")}` : "beside no live flow"}, since{" "}
                    <When at={flow.since} />, reported <When at={flow.reportedAt} />
                  </span>
                </div>
                <dl className="facts shadow-facts">
                  <Count name="The same" value={flow.same} />
                  <Count name="Different" value={flow.different} bad />
                  <Count name="Only in shadow" value={flow.onlyShadow} />
                  <Count name="Only live" value={flow.onlyLive} />
                  <Count name="Refused in shadow" value={flow.refused} bad />
                  <Count name="Not looked at" value={flow.skipped} />
                </dl>
                <Refusals reasons={flow.reasons} />
                <FieldDifferences
                  fields={flow.fields}
                  label={`Fields of ${flow.flow} that differ`}
                  before="Live, for example"
                  after="In shadow"
                />
              </section>
            ))}
          </div>
        )
      }
    </Loaded>
  );
}

function Count({ name, value, bad = false }: { readonly name: string; readonly value: number; readonly bad?: boolean }) {
  return (
    <Fact name={name} tone={bad && value > 0 ? "bad" : undefined}>
      {formatCount(value)}
    </Fact>
  );
}
