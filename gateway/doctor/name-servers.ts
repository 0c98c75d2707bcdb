import { Resolver } from "node:dns/promises";

/** What this machine's name servers make of names; a server that could not be asked is in neither list. */
export interface NameServers {
  readonly answering: readonly string[];
  readonly silent: readonly string[];
  /** The names that one of them knows. */
  readonly found: ReadonlySet<string>;
}

/** Of one question, which is asked once more: whatever held up this process meanwhile is no silence. A name server in the same building answers in milliseconds. */
const patienceMs = 2000;
/** More names say no more of a server. */
const mostAsked = 3;

/** Each name server is asked by itself: a lookup goes on to the next one without a word. */
export async function askNameServers(
  names: readonly string[],
  servers: readonly string[] = new Resolver().getServers(),
): Promise<NameServers> {
  const all = await Promise.all(servers.map((server) => ask(server, names.slice(0, mostAsked))));
  const those = (isMeant: (each: Asked) => boolean): string[] => servers.filter((_, index) => isMeant(all[index] as Asked));
  return {
    answering: those(({ answers }) => answers.includes("answer")),
    silent: those(({ answers }) => answers.length > 0 && !answers.includes("answer")),
    found: new Set(all.flatMap(({ found }) => found)),
  };
}

interface Asked {
  readonly found: readonly string[];
  /** Of the questions that were sent. */
  readonly answers: readonly ("answer" | "none")[];
}

async function ask(server: string, names: readonly string[]): Promise<Asked> {
  const resolver = new Resolver({ timeout: patienceMs, tries: 2 });
  resolver.setServers([server]);
  const found: string[] = [];
  const one = async (name: string, lookUp: Promise<readonly string[]>): Promise<("answer" | "none")[]> => {
    try {
      if ((await lookUp).length > 0) found.push(name);
      return ["answer"];
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code);
      if (neverSent.has(code)) return [];
      return [noAnswer.has(code) ? "none" : "answer"];
    }
  };
  const questions = names.flatMap((name) => [one(name, resolver.resolve4(name)), one(name, resolver.resolve6(name))]);
  return { answers: (await Promise.all(questions)).flat(), found };
}

/** Nobody there; or one that reaches nobody who knows, or does not serve this machine. That there is no such name is an answer. */
const noAnswer = new Set(["ETIMEOUT", "ECONNREFUSED", "ESERVFAIL", "EREFUSED"]);
/** What is no name of DNS. */
const neverSent = new Set(["EBADNAME", "EBADSTR"]);
