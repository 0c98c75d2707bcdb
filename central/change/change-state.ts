import { type Actor, adminKeyName, may, type Role } from "../auth/actor.ts";
import type { ChangeState } from "../http/api/changes.ts";

/**
 * A change's life. Where review is required:
 *
 *     draft ──submit──▶ review ──approve──▶ approved ──start──▶ rolling-out ──▶ done | aborted | rolled-back
 *       ▲                 │                    │
 *       └── withdraw, reject ──────────────────┘            abandon: from draft, review, approved
 *
 * Where it is not, submit leads to `approved` at once. What a change carries moves in `draft` only: an approval is about the digest that
 * was read, and whatever leads back to `draft` voids it.
 */
export const changeActions = [
  "edit",
  "submit",
  "withdraw",
  "reject",
  "approve",
  "abandon",
  "comment",
  "promote",
  "start",
  "review",
] as const;
export type ChangeAction = (typeof changeActions)[number];

/** What decides about a move. */
export interface ChangeFacts {
  readonly state: ChangeState;
  readonly environment: string;
  readonly author: string;
  /** Whoever created or edited it, its author among them. */
  readonly writers: readonly string[];
  /** Who wrote what it carries and nobody else has approved so far, wherever it comes from. */
  readonly unreadFrom: readonly string[];
  /** It carries a version of gateways, and so packages that somebody sent. */
  readonly carriesVersion: boolean;
  /** Who approved exactly what it carries now. */
  readonly approvers: readonly string[];
  readonly reviewRequired: boolean;
  /** An expedited one that nobody has reviewed afterwards. */
  readonly reviewOwed: boolean;
}

export type Verdict = { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

const from: Record<ChangeAction, readonly ChangeState[]> = {
  edit: ["draft"],
  submit: ["draft"],
  withdraw: ["review", "approved"],
  reject: ["review", "approved"],
  approve: ["review"],
  abandon: ["draft", "review", "approved"],
  comment: ["draft", "review", "approved", "rolling-out", "done", "aborted", "rolled-back", "abandoned"],
  promote: ["done"],
  start: ["approved"],
  review: ["rolling-out", "done", "aborted", "rolled-back"],
};

const roleFor: Record<ChangeAction, readonly Role[]> = {
  edit: ["engineer"],
  submit: ["engineer"],
  withdraw: ["engineer"],
  reject: ["approver"],
  approve: ["approver"],
  abandon: ["engineer"],
  comment: ["viewer"],
  // in the environment that it is promoted from; the next one is judged as one where a change is written
  promote: ["engineer"],
  start: ["operator", "engineer"],
  review: ["approver"],
};

/** Whether somebody may do this now; if not, why. */
export function judge(action: ChangeAction, facts: ChangeFacts, actor: Actor): Verdict {
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  const { state, environment } = facts;
  if (!from[action].includes(state)) return no(notFrom(action, state));
  const role = judgeRole(roleFor[action], environment, actor);
  if (role) return no(role);
  const wroteIt = facts.writers.some((writer) => isSamePerson(writer, actor.name));
  switch (action) {
    case "edit":
    case "submit":
      return judgeWriter(facts, actor);
    case "withdraw":
      return wroteIt || actor.roles.includes("admin")
        ? { allowed: true }
        : no(`it is withdrawn by who wrote it (${facts.writers.join(", ")}); an approver may reject it`);
    case "reject":
      return actor.kind === "key" ? no("central's admin token is nobody: a person rejects") : { allowed: true };
    case "approve":
      return judgeApprover(facts, actor, wroteIt);
    case "start":
      if (facts.reviewRequired && facts.approvers.length === 0)
        return no(`"${environment}" asks for review, and nobody has approved what this change carries now`);
      return { allowed: true };
    case "review":
      return judgeReviewer(facts, actor, wroteIt);
    default:
      return { allowed: true };
  }
}

/** Whether somebody may write a change for an environment. */
export function judgeAuthor(environment: string, reviewRequired: boolean, actor: Actor): Verdict {
  const role = judgeRole(["engineer"], environment, actor);
  if (role) return { allowed: false, reason: role };
  return judgeWriter({ environment, reviewRequired, writers: [] }, actor);
}

/** Where an allowed move leads. */
export function nextState(action: ChangeAction, facts: Pick<ChangeFacts, "state" | "reviewRequired">): ChangeState {
  switch (action) {
    case "submit":
      return facts.reviewRequired ? "review" : "approved";
    case "withdraw":
    case "reject":
      return "draft";
    case "approve":
      return "approved";
    case "abandon":
      return "abandoned";
    case "start":
      return "rolling-out";
    default:
      return facts.state;
  }
}

/** A person is the same in whatever case and spelling of characters the name is written. */
export function isSamePerson(one: string, other: string): boolean {
  return plain(one) === plain(other);
}

function plain(name: string): string {
  return name.normalize("NFKC").trim().toLowerCase();
}

function judgeWriter(facts: Pick<ChangeFacts, "environment" | "reviewRequired" | "writers">, actor: Actor): Verdict {
  const { environment, reviewRequired, writers } = facts;
  if (reviewRequired && (actor.kind === "key" || writers.some((writer) => isSamePerson(writer, adminKeyName))))
    return {
      allowed: false,
      reason: `"${environment}" asks for review, and central's admin token is nobody: a person has to write the change`,
    };
  return { allowed: true };
}

function judgeApprover(facts: ChangeFacts, actor: Actor, wroteIt: boolean): Verdict {
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  if (actor.kind === "key") return no("central's admin token is nobody: a person approves");
  if (isSamePerson(facts.author, actor.name)) return no("you are its author; somebody else has to approve it");
  if (wroteIt) return no("you have edited it; somebody who has not has to approve it");
  if (facts.unreadFrom.some((writer) => isSamePerson(writer, actor.name)))
    return no(
      "you wrote a document that it carries or sent its packages, and nobody else has approved that so far; somebody else has to",
    );
  if ([...facts.writers, ...facts.unreadFrom].some((writer) => isSamePerson(writer, adminKeyName)))
    return no(
      facts.carriesVersion
        ? `its packages were ${sentByNobody}`
        : "it carries what was written with central's admin token, which is nobody: a person applies that (plantgate apply), then it is approved",
    );
  return { allowed: true };
}

/** What is said of packages that no person stands for, behind what they are called. */
export const sentByNobody =
  "sent with central's admin token, which is nobody: a person sends the same files once more (plantgate release add FILE…, signed in by plantgate login or with a token), and another one approves";

function judgeReviewer(facts: ChangeFacts, actor: Actor, wroteIt: boolean): Verdict {
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  if (!facts.reviewOwed) return no("no review is owed for it");
  if (actor.kind === "key") return no("central's admin token is nobody: a person reviews");
  if (wroteIt) return no("you wrote it; a third person reviews it");
  if (facts.unreadFrom.some((writer) => isSamePerson(writer, actor.name)))
    return no("you wrote a document that it carries, or sent its packages; a third person reviews it");
  if (facts.approvers.some((approver) => isSamePerson(approver, actor.name)))
    return no("you approved it; a third person reviews it");
  return { allowed: true };
}

/** @returns what is missing */
function judgeRole(wanted: readonly Role[], environment: string, actor: Actor): string | undefined {
  if (may(actor, wanted, environment)) return undefined;
  return `this takes the role ${wanted.join(" or ")} in environment "${environment}"; "${actor.name}" has ${actor.roles.join(", ") || "none"} in ${actor.environments.join(", ") || "none"}`;
}

function notFrom(action: ChangeAction, state: ChangeState): string {
  switch (action) {
    case "edit":
      return state === "review" || state === "approved"
        ? "it is read by others now; withdraw it first, and whatever was approved is void"
        : `it is ${state}; write a new change`;
    case "approve":
      return state === "draft" ? "it is a draft; it is submitted first" : `it is ${state}; only what is in review is approved`;
    case "start":
      return state === "rolling-out" ? "it rolls out already" : `it is ${state}; only what is approved is started`;
    case "promote":
      return `it is ${state}; only what is done in its environment is carried on to the next`;
    case "review":
      return `it is ${state}; an expedited change is reviewed after it was started`;
    default:
      return `it is ${state}`;
  }
}
