import { Button, Checkbox } from "@mantine/core";
import { useState } from "react";
import type { UnconfirmedMessage } from "../../http/api/losses.ts";
import { useSendAgain, useUnconfirmed } from "../api/losses.ts";
import { useHasRole } from "../api/session.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Failure } from "../parts/failure.tsx";
import { Grid } from "../parts/grid.tsx";
import { Empty } from "../parts/page.tsx";
import { formatCount } from "../parts/time.ts";
import { When } from "../parts/when.tsx";

/** What a lost gateway had acknowledged and reported no end of, to be sent again one by one. */
export function Unconfirmed({ site }: { readonly site: string }) {
  const query = useUnconfirmed(site);
  const maySend = useHasRole("operator");
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [asking, setAsking] = useState(false);
  const messages = query.data?.pages.flatMap(({ answer }) => answer.messages) ?? [];
  const toggle = (sequence: number): void =>
    setChosen((before) => (before.has(sequence) ? before.difference(new Set([sequence])) : before.union(new Set([sequence]))));
  if (query.error) return <Failure error={query.error} doing={`look for what ${site} had not delivered`} />;
  if (query.isPending) return <p role="status">Looking for open deliveries …</p>;
  return (
    <>
      {messages.length === 0 ? (
        <Empty>
          <p>{query.hasNextPage ? "None among the newest ones." : "None is left."}</p>
        </Empty>
      ) : (
        <Grid
          name={`What ${site} has not reported as delivered`}
          columns={[maySend && "Again", "Number", "Message", "From", "Acknowledged", "Reported"]}
        >
          {messages.map((each) => (
            <tr key={each.sequence}>
              {maySend && (
                <td>
                  <Checkbox
                    aria-label={`Send ${each.sequence} again`}
                    disabled={each.message === null}
                    checked={chosen.has(each.sequence)}
                    onChange={() => toggle(each.sequence)}
                  />
                </td>
              )}
              <th scope="row">{formatCount(each.sequence)}</th>
              <td>
                <What of={each} />
              </td>
              <td>{each.from}</td>
              <td>
                <When at={each.acknowledgedAt} />
              </td>
              <td>
                <Reported of={each} />
              </td>
            </tr>
          ))}
        </Grid>
      )}
      <div className="row-acts">
        {query.hasNextPage && (
          <Button variant="default" loading={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
            Look further back
          </Button>
        )}
        {maySend && messages.length > 0 && (
          <Button disabled={chosen.size === 0} onClick={() => setAsking(true)}>
            Send {chosen.size === 0 ? "" : `${formatCount(chosen.size)} `}again
          </Button>
        )}
      </div>
      {asking && (
        <SendAgain
          site={site}
          sequences={[...chosen]}
          onClose={() => setAsking(false)}
          onSent={() => {
            setAsking(false);
            setChosen(new Set());
          }}
        />
      )}
    </>
  );
}

function What({ of: { message } }: { readonly of: UnconfirmedMessage }) {
  if (!message) return <span className="quiet">cannot be read from central's disk now</span>;
  return (
    <>
      {message.type} {message.key !== null && <span className="mono">{message.key}</span>}
      <p className="tiny mono">{message.id}</p>
    </>
  );
}

function Reported({ of: { open, ended, unreported } }: { readonly of: UnconfirmedMessage }) {
  if (open.length + ended.length === 0) return <span className="quiet">nothing</span>;
  return (
    <>
      {[...open, ...ended].map(({ connector, destination, outcome }) => (
        <p key={`${connector} ${destination}`}>
          {outcome === "unknown" ? "sent, outcome unknown" : outcome} ({connector})
        </p>
      ))}
      {unreported?.map(({ connector, destination }) => (
        <p key={`${connector} ${destination}`} className="quiet">
          nothing ({connector})
        </p>
      ))}
    </>
  );
}

interface SendAgainProps {
  readonly site: string;
  readonly sequences: readonly number[];
  readonly onClose: () => void;
  readonly onSent: () => void;
}

function SendAgain({ site, sequences, onClose, onSent }: SendAgainProps) {
  const send = useSendAgain(site);
  const [outOfOrder, setOutOfOrder] = useState(false);
  return (
    <Dialog title="Send again" opened onClose={onClose}>
      <DialogForm
        act="Send again"
        doing="send them again"
        busy={send.isPending}
        error={send.error}
        onCancel={onClose}
        onSubmit={() => send.mutate({ sequences, outOfOrder }, { onSuccess: onSent })}
      >
        <p>
          {sequences.length === 1
            ? `One message goes to ${site} again, behind what waits there now.`
            : `${formatCount(sequences.length)} messages go to ${site} again, in their old order, behind what waits there now.`}{" "}
          The audit log says that you had it sent.
        </p>
        <Checkbox
          label="Also where later messages of the same key have gone to the site: I have looked"
          checked={outOfOrder}
          onChange={(event) => setOutOfOrder(event.currentTarget.checked)}
        />
      </DialogForm>
    </Dialog>
  );
}
