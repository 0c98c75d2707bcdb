import { Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";

/** What this machine's name servers make of names; a server that could not be asked is in neither list. */
export interface NameServers {
  readonly answering: readonly string[];
  readonly silent: readonly string[];
  /** The names that one of them knows. */
  readonly found: ReadonlySet<string>;
}

/** Of one question, which is asked once more: whatever held up this process meanwhile is no silence. A name server in the same building answers in milliseconds. */
const patienceMs = 2000;
/** More names than a gateway uses. */
const mostAsked = 50;
/** Of those that resolve: enough to see that a server answers. */
const mostOthers = 3;

interface Asking {
  /** Names that resolve: a server that answers for one of them is not silent, whatever it makes of the others. */
  readonly others?: readonly string[];
  readonly servers?: readonly string[];
  readonly domains?: readonly string[];
}

/** Each name server is asked by itself: a lookup goes on to the next one without a word. */
export async function askNameServers(
  names: readonly string[],
  { others = [], servers = new Resolver().getServers(), domains = searchDomains() }: Asking = {},
): Promise<NameServers> {
  // a Resolver drops the interface of a link-local address, and would ask nobody
  const asked = servers.filter((server) => !/^\[?fe80:/i.test(server));
  const questions = [...names.slice(0, mostAsked), ...others.slice(0, mostOthers)].map((name) => ({
    name,
    full: fullNames(name, domains),
  }));
  const all = await Promise.all(asked.map((server) => ask(server, questions)));
  const those = (isMeant: (each: Asked) => boolean): string[] => asked.filter((_, index) => isMeant(all[index] as Asked));
  return {
    answering: those(({ answers }) => answers.includes("answer")),
    silent: those(({ answers }) => answers.length > 0 && !answers.includes("answer")),
    found: new Set(all.flatMap(({ found }) => found).filter((name) => names.includes(name))),
  };
}

/** What a lookup asks for: a short name is looked for in the machine's domains as well. */
function fullNames(name: string, domains: readonly string[]): readonly string[] {
  return name.includes(".") ? [name] : [name, ...domains.map((domain) => `${name}.${domain}`)];
}

/** The last such line of resolv.conf counts. */
function searchDomains(): readonly string[] {
  try {
    const lines = [...readFileSync("/etc/resolv.conf", "utf8").matchAll(/^(?:search|domain)[ \t]+(.+)$/gm)];
    return (lines.at(-1)?.[1] ?? "")
      .trim()
      .split(/\s+/)
      .filter((domain) => domain !== "" && domain !== ".");
  } catch {
    return [];
  }
}

interface Question {
  readonly name: string;
  readonly full: readonly string[];
}

interface Asked {
  readonly found: readonly string[];
  /** Of the questions that were sent. */
  readonly answers: readonly ("answer" | "none")[];
}

async function ask(server: string, questions: readonly Question[]): Promise<Asked> {
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
  const answers = questions.flatMap(({ name, full }) =>
    full.flatMap((each) => [one(name, resolver.resolve4(each)), one(name, resolver.resolve6(each))]),
  );
  return { answers: (await Promise.all(answers)).flat(), found };
}

/** Nobody there; or one that reaches nobody who knows, or does not serve this machine. That there is no such name is an answer. */
const noAnswer = new Set(["ETIMEOUT", "ECONNREFUSED", "ESERVFAIL", "EREFUSED"]);
/** What is no name of DNS. */
const neverSent = new Set(["EBADNAME", "EBADSTR"]);
