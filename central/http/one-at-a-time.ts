import type { Actor } from "../auth/actor.ts";
import { ProblemError } from "./problem.ts";

export type OneAtATime = <Value>(actor: Actor, run: () => Promise<Value>) => Promise<Value>;

/** As a page asks for several things at once, and an editor for one after the other. */
const maxWaiting = 16;

/** What may take long is done one after the other for each person: nobody keeps those who review waiting. */
export function makeOneAtATime(): OneAtATime {
  const people = new Map<string, { waiting: number; last: Promise<unknown> }>();
  return async (actor, run) => {
    const person = people.get(actor.name) ?? { waiting: 0, last: Promise.resolve() };
    if (person.waiting >= maxWaiting)
      throw new ProblemError("limited", "enough documents of yours wait to be judged", { headers: { "retry-after": "2" } });
    people.set(actor.name, person);
    person.waiting++;
    const mine = person.last.then(run, run);
    person.last = mine;
    try {
      return await mine;
    } finally {
      person.waiting--;
      if (person.waiting === 0) people.delete(actor.name);
    }
  };
}
