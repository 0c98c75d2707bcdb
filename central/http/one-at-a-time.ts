import type { Actor } from "../auth/actor.ts";
import { ProblemError } from "./problem.ts";

export type OneAtATime = <Value>(actor: Actor, run: () => Promise<Value>) => Promise<Value>;

/** What takes long and is only a try is done one at a time for each person: nobody keeps those who review waiting. */
export function makeOneAtATime(): OneAtATime {
  const busy = new Set<string>();
  return async (actor, run) => {
    if (busy.has(actor.name))
      throw new ProblemError("limited", "documents of yours are being judged; wait for that", {
        headers: { "retry-after": "2" },
      });
    busy.add(actor.name);
    try {
      return await run();
    } finally {
      busy.delete(actor.name);
    }
  };
}
