import { Textarea } from "@mantine/core";
import { useState } from "react";
import { useLocation } from "wouter";
import { nextEnvironment } from "../../change/environments.ts";
import type { ChangeView } from "../../http/api/changes.ts";
import { ApiError } from "../api/client.ts";
import { useDecide, usePromote } from "../api/configuration.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";

interface Act {
  readonly name: string;
  readonly word: string;
  /** For a sentence: "It did not work to approve the change". */
  readonly doing: string;
  readonly explains: string;
  readonly prominent?: boolean;
  readonly danger?: boolean;
  readonly comment: "none" | "optional" | "required";
}

/** In the order in which a change lives; `may` of the answer says which of them exist now, and why not. */
const acts: readonly Act[] = [
  {
    name: "submit",
    word: "Ask for review",
    doing: "submit the change",
    explains: "It is fixed from now on; a second person reads it. An edit takes it back to a draft.",
    prominent: true,
    comment: "optional",
  },
  {
    name: "approve",
    word: "Approve",
    doing: "approve the change",
    explains: "You say yes to exactly what you see here. If it is edited, your yes is void.",
    prominent: true,
    comment: "optional",
  },
  {
    name: "reject",
    word: "Reject",
    doing: "reject the change",
    explains: "It goes back to its author as a draft, with what you say.",
    comment: "required",
  },
  {
    name: "start",
    word: "Start the rollout",
    doing: "start the rollout",
    explains: "It goes out to its sites now, wave by wave.",
    prominent: true,
    comment: "none",
  },
  {
    name: "review",
    word: "Reviewed afterwards",
    doing: "note the review",
    explains: "It was expedited. You say that you read what went out.",
    prominent: true,
    comment: "required",
  },
  {
    name: "withdraw",
    word: "Take back to draft",
    doing: "withdraw the change",
    explains: "It is a draft again; nobody is asked to review it.",
    comment: "optional",
  },
  {
    name: "abandon",
    word: "Abandon",
    doing: "abandon the change",
    explains: "It is given up and stays in the list as that.",
    danger: true,
    comment: "optional",
  },
];

/** What can be done with the change now, and why not what cannot. */
export function Decisions({ change, read }: { readonly change: ChangeView; readonly read: string }) {
  const [asked, setAsked] = useState<Act | null>(null);
  const [promoting, setPromoting] = useState(false);
  // What belongs to another state is not there at all; what is there and not allowed says why.
  const shown = acts.filter(({ name }) => change.may[name] !== undefined && isOfNow(name, change));
  const promote = change.may.promote;
  const next = nextEnvironment.get(change.environment);
  const showsPromote = promote !== undefined && change.state === "done" && next !== undefined;
  return (
    <section className="card decisions" aria-label="What you can do">
      <h2>What you can do</h2>
      {shown.map((act) => (
        <ActButton
          key={act.name}
          word={act.word}
          allowed={change.may[act.name]?.allowed === true}
          reason={change.may[act.name]?.reason}
          prominent={act.prominent}
          danger={act.danger}
          onPress={() => setAsked(act)}
        />
      ))}
      {showsPromote && (
        <ActButton
          word="Promote"
          allowed={promote.allowed}
          reason={promote.reason}
          prominent
          onPress={() => setPromoting(true)}
        />
      )}
      {shown.length === 0 && !showsPromote && <p className="quiet">Nothing any more; it is {change.state}.</p>}
      {asked && <DecisionDialog change={change} read={read} act={asked} onClose={() => setAsked(null)} />}
      {promoting && next !== undefined && <PromoteDialog change={change} to={next} onClose={() => setPromoting(false)} />}
    </section>
  );
}

/** Buttons that could never be meant in this state would only be noise beside those that could. */
function isOfNow(name: string, { state, reviewDueSince, may }: ChangeView): boolean {
  if (may[name]?.allowed) return true;
  if (name === "submit") return state === "draft";
  if (name === "approve" || name === "reject") return state === "review";
  if (name === "withdraw") return state === "review" || state === "approved";
  if (name === "start") return state === "approved";
  if (name === "review") return reviewDueSince !== null;
  return name === "abandon" && (state === "draft" || state === "review" || state === "approved");
}

interface DecisionDialogProps {
  readonly change: ChangeView;
  /** The digest of what was read, whatever comes while the dialog is open. */
  readonly read: string;
  readonly act: Act;
  readonly onClose: () => void;
}

function DecisionDialog({ change, read: digest, act, onClose }: DecisionDialogProps) {
  const [comment, setComment] = useState("");
  const decide = useDecide(change.number);
  const outdated = change.digest !== digest;
  const body = { act: act.name, comment: comment.trim(), ...(act.name === "approve" ? { digest } : {}) };
  return (
    <Dialog title={`${act.word}: ${change.title}`} opened onClose={onClose}>
      <DialogForm
        act={act.word}
        doing={act.doing}
        danger={act.danger}
        busy={decide.isPending}
        error={decide.error && toReadable(decide.error)}
        disabled={outdated || (act.comment === "required" && comment.trim() === "")}
        onCancel={onClose}
        onSubmit={() => decide.mutate(body, { onSuccess: onClose })}
      >
        <p>{act.explains}</p>
        {act.name === "approve" && change.expedited && (
          <p className="warning-line">
            It is expedited: all sites at once, without a run in test. A third person reviews it afterwards.
          </p>
        )}
        {act.name === "approve" && (
          <p className="tiny">
            Read and agreed to: <span className="mono">{digest.slice(0, 16)}</span>
          </p>
        )}
        {outdated && (
          <p className="warning-line" role="alert">
            It was edited while this was open. Close the dialog, read it again, and decide then.
          </p>
        )}
        {act.comment !== "none" && (
          <Textarea
            label={act.comment === "required" ? "Comment" : "Comment, if you like"}
            autosize
            minRows={2}
            maxLength={20_000}
            data-autofocus
            required={act.comment === "required"}
            value={comment}
            onChange={(event) => setComment(event.currentTarget.value)}
          />
        )}
      </DialogForm>
    </Dialog>
  );
}

function PromoteDialog({
  change,
  to,
  onClose,
}: {
  readonly change: ChangeView;
  readonly to: string;
  readonly onClose: () => void;
}) {
  const [, navigate] = useLocation();
  const promote = usePromote(change.number);
  return (
    <Dialog title={`Promote: ${change.title}`} opened onClose={onClose}>
      <DialogForm
        act={`Promote to ${to}`}
        doing="promote the change"
        busy={promote.isPending}
        error={promote.error}
        onCancel={onClose}
        onSubmit={() => promote.mutate(to, { onSuccess: ({ number }) => navigate(`/changes/${number}`) })}
      >
        <p>The same revisions become a new change of {to}, with a review of its own.</p>
      </DialogForm>
    </Dialog>
  );
}

function toReadable(error: Error): Error {
  return error instanceof ApiError && error.code === "conflict"
    ? new Error(`${error.message}. Close the dialog, read it again, and decide then`)
    : error;
}
