import type { Asked, ConfigurationWorld, Reply } from "./answers.ts";
import { answerChanges, change } from "./change-fixtures.ts";
import { answerDocuments } from "./document-fixtures.ts";
import { answerPeople } from "./people-fixtures.ts";
import { answerRollouts } from "./rollout-fixtures.ts";
import { answerSites } from "./site-fixtures.ts";

export function configurationWorld(): ConfigurationWorld {
  return {
    user: "mira",
    signedIn: true,
    change: change(),
    problems: [],
    judge: () => [],
    sent: [],
    instead: new Map(),
  };
}

const groups: readonly ((asked: Asked) => Reply | undefined)[] = [
  answerPeople,
  answerDocuments,
  answerChanges,
  answerRollouts,
  answerSites,
];

/** @returns undefined: not one of these */
export function answerConfiguration(world: ConfigurationWorld, method: string, path: string, body: unknown): Reply | undefined {
  const instead = world.instead.get(`${method} ${path}`);
  if (instead) return instead();
  if (method !== "GET") world.sent.push({ method, path, body });
  const parts = path.split("/").slice(2).map(decodeURIComponent);
  for (const answer of groups) {
    const reply = answer({ world, method, path, parts, body });
    if (reply) return reply;
  }
  return undefined;
}
