import { Button } from "@mantine/core";
import { useState } from "react";
import { type GatewayKey, useAskRotation, useDecideKey, useKeys } from "../api/fleet.ts";
import { useHasRole } from "../api/session.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Failure } from "../parts/failure.tsx";
import { Grid } from "../parts/grid.tsx";
import { Empty, Loaded } from "../parts/page.tsx";
import { Until, When } from "../parts/when.tsx";
import { EnrollmentDialog } from "./enrollment-dialog.tsx";

const looks: Readonly<Record<GatewayKey["state"], Look>> = {
  pending: { tone: "change", icon: "question", word: "to be confirmed", meaning: "Enrolled; it may not act for the site yet" },
  active: { tone: "good", icon: "check", word: "active" },
  retiring: { tone: "busy", icon: "clock", word: "retiring", meaning: "Rotated; still accepted for a while" },
  moved: { tone: "idle", icon: "minus", word: "moved", meaning: "Left behind on other hardware: a copy that uses it is stopped" },
  replaced: { tone: "idle", icon: "minus", word: "replaced", meaning: "Another gateway was let in: one that uses it is stopped" },
  retired: { tone: "idle", icon: "minus", word: "retired" },
  revoked: { tone: "bad", icon: "cross", word: "revoked" },
};
/** Of these there is nothing to decide. */
const over: ReadonlySet<GatewayKey["state"]> = new Set(["retired", "moved", "revoked"]);
const origins: Readonly<Record<GatewayKey["origin"], string>> = {
  added: "by an admin",
  enrolled: "with a token",
  imported: "from a file",
  rotated: "by rotation",
};

interface Asked {
  readonly key: GatewayKey;
  readonly act: "confirm" | "revoke";
}

/** The keys that may act for the site; one that enrolled waits until a person compared its fingerprint. */
export function Keys({ site }: { readonly site: string }) {
  const query = useKeys(site);
  const [enrolling, setEnrolling] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const mayDecide = useHasRole("admin");
  const rotate = useAskRotation(site);
  return (
    <Loaded query={query} what={`the keys of ${site}`}>
      {({ keys }) => (
        <>
          <div className="section-head">
            <h2>Gateway keys</h2>
            {mayDecide && (
              <span className="to-the-right row-acts">
                {keys.some(({ state, rotationAsked }) => state === "active" && !rotationAsked) && (
                  <Button variant="default" loading={rotate.isPending} onClick={() => rotate.mutate()}>
                    Ask for a new key
                  </Button>
                )}
                <Button onClick={() => setEnrolling(true)}>Enroll a gateway</Button>
              </span>
            )}
          </div>
          <Failure error={rotate.error} doing="ask for a new key" />
          {keys.length === 0 ? (
            <Empty>
              <p>No gateway has enrolled for {site} yet. Make a token, and use it on the plant's server.</p>
            </Empty>
          ) : (
            <Grid name={`Keys of ${site}`} columns={["Fingerprint", "State", "Came", "Confirmed", "What to do"]}>
              {keys.map((key) => (
                <tr key={key.fingerprint}>
                  <th scope="row" className="mono fingerprint">
                    {key.fingerprint}
                  </th>
                  <td>
                    <Badge look={looks[key.state]} small />
                    {key.rotationAsked && <p className="tiny">a new one is asked for</p>}
                    {key.state === "active" && !key.seals && <p className="tiny">secrets cannot be sealed to it</p>}
                  </td>
                  <td>
                    <When at={key.createdAt} /> {origins[key.origin]}
                  </td>
                  <td>
                    {key.confirmedAt ? (
                      <>
                        <When at={key.confirmedAt} /> {key.confirmedBy !== null && `by ${key.confirmedBy}`}
                      </>
                    ) : (
                      <span className="quiet">–</span>
                    )}
                    {key.retiresAt && (
                      <p className="tiny">
                        accepted until <Until at={key.retiresAt} />
                      </p>
                    )}
                  </td>
                  <td>
                    <KeyActs keyOf={key} mayDecide={mayDecide} onAsk={setAsked} />
                  </td>
                </tr>
              ))}
            </Grid>
          )}
          <EnrollmentDialog site={site} opened={enrolling} onClose={() => setEnrolling(false)} />
          {asked && <KeyDialog site={site} asked={asked} onClose={() => setAsked(null)} />}
        </>
      )}
    </Loaded>
  );
}

interface KeyActsProps {
  readonly keyOf: GatewayKey;
  readonly mayDecide: boolean;
  readonly onAsk: (asked: Asked) => void;
}

function KeyActs({ keyOf: key, mayDecide, onAsk }: KeyActsProps) {
  if (over.has(key.state)) return <span className="quiet">–</span>;
  if (!mayDecide) return <span className="quiet">an admin decides</span>;
  return (
    <div className="row-acts">
      {key.state === "pending" && (
        <Button size="compact-xs" onClick={() => onAsk({ key, act: "confirm" })}>
          Confirm
        </Button>
      )}
      <Button size="compact-xs" variant="default" onClick={() => onAsk({ key, act: "revoke" })}>
        Revoke
      </Button>
    </div>
  );
}

function KeyDialog({ site, asked, onClose }: { readonly site: string; readonly asked: Asked; readonly onClose: () => void }) {
  const decide = useDecideKey(site);
  const { key, act } = asked;
  const confirms = act === "confirm";
  return (
    <Dialog title={confirms ? "Confirm the gateway's key" : "Revoke the gateway's key"} opened onClose={onClose}>
      <DialogForm
        act={confirms ? "It is the same: confirm" : "Revoke"}
        doing={confirms ? "confirm the key" : "revoke the key"}
        danger={!confirms}
        busy={decide.isPending}
        error={decide.error}
        onCancel={onClose}
        onSubmit={() => decide.mutate({ fingerprint: key.fingerprint, act }, { onSuccess: onClose })}
      >
        {confirms ? (
          <p>
            Compare with what the gateway printed on the plant's server when it enrolled. Confirm only if every character is the
            same.
          </p>
        ) : (
          <p>
            Within a minute central refuses this key. The plant runs on; its messages wait on its disk until a new key is
            confirmed.
          </p>
        )}
        <p className="mono fingerprint big">{spoken(key.fingerprint)}</p>
      </DialogForm>
    </Dialog>
  );
}

/** As the gateway prints it and two people read it to each other: four lines of four groups. */
function spoken(fingerprint: string): string {
  const groups = fingerprint.match(/.{1,4}/g) ?? [];
  return Array.from({ length: Math.ceil(groups.length / 4) }, (_, line) => groups.slice(line * 4, line * 4 + 4).join(" ")).join(
    "\n",
  );
}
