import type { LaneLoss, LossesAnswer } from "../../http/api/losses.ts";
import { useLosses } from "../api/losses.ts";
import { Grid } from "../parts/grid.tsx";
import { Empty, Loaded } from "../parts/page.tsx";
import { formatCount } from "../parts/time.ts";
import { When } from "../parts/when.tsx";
import { Unconfirmed } from "./unconfirmed.tsx";

/** What went with a disk of the site's gateway: of each lane a range, and what it had not delivered yet. */
export function Losses({ site }: { readonly site: string }) {
  const query = useLosses(site);
  return (
    <Loaded query={query} what={`what ${site} lost`}>
      {(answer) =>
        answer.lanes.length === 0 && answer.downlink === null ? (
          <Empty>
            <p>No gateway of {site} has lost its disk: every lane went on where it was, or its gateway named what came before.</p>
          </Empty>
        ) : (
          <div className="stack">
            {answer.lanes.length > 0 && <Lanes lanes={answer.lanes} />}
            {answer.downlink && <Deliveries site={site} downlink={answer.downlink} />}
          </div>
        )
      }
    </Loaded>
  );
}

function Lanes({ lanes }: { readonly lanes: readonly LaneLoss[] }) {
  return (
    <section aria-labelledby="lost-lanes">
      <div className="section-head">
        <h2 id="lost-lanes">Taken in, and not recorded here</h2>
      </div>
      <Grid
        name="What was lost, by lane"
        columns={["Lane", "Lost, as far as known", "Last report", "Began anew", "Epoch that ended"]}
      >
        {lanes.map((loss) => (
          <tr key={`${loss.lane} ${loss.epoch}`}>
            <th scope="row">{loss.lane}</th>
            <td>
              <Range loss={loss} />
            </td>
            <td>{loss.saidAt === null ? <span className="quiet">none spoke of it</span> : <When at={loss.saidAt} />}</td>
            <td>
              <When at={loss.endedAt} />
            </td>
            <td className="mono tiny">{loss.epoch}</td>
          </tr>
        ))}
      </Grid>
    </section>
  );
}

/** Both ends, and that there may be more behind the second one. */
function Range({ loss: { first, last, count } }: { readonly loss: LaneLoss }) {
  if (last === null || count === null)
    return (
      <>
        <strong>from {formatCount(first)} on</strong>
        <p className="tiny">how far is not known</p>
      </>
    );
  return (
    <>
      {count === 0 ? (
        <strong>nothing up to {formatCount(last)}</strong>
      ) : (
        <strong>
          {first === last ? formatCount(first) : `${formatCount(first)} to ${formatCount(last)}`} ({formatCount(count)})
        </strong>
      )}
      <p className="tiny">what it took in after its last report is not known</p>
    </>
  );
}

interface DeliveriesProps {
  readonly site: string;
  readonly downlink: NonNullable<LossesAnswer["downlink"]>;
}

function Deliveries({ site, downlink }: DeliveriesProps) {
  return (
    <section aria-labelledby="lost-deliveries">
      <div className="section-head">
        <h2 id="lost-deliveries">Handed to {site}, and perhaps not delivered</h2>
      </div>
      <div className="stack">
        <p>
          The gateway had acknowledged all up to number {formatCount(downlink.upTo)}; another one began <When at={downlink.at} />.
          Of these messages no end of a delivery was reported: look into the receiving systems, then have sent again what did not
          arrive. They go marked as sent again, so a receiver that cannot take one twice is asked first, or you are.
        </p>
        <Unconfirmed site={site} />
      </div>
    </section>
  );
}
