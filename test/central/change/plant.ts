import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Role } from "../../../central/auth/actor.ts";
import type { ChangeView } from "../../../central/http/api/changes.ts";
import type { RolloutSummary } from "../../../central/http/api/rollouts.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type Person, signInAs } from "../../support/people.ts";
import { siteFile, templateFile } from "../../support/policy-documents.ts";
import type { StorageKind } from "../../support/storages.ts";

/** What came of a try: of a command, 200 or 400. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Gateways are never heard here: each rollout passes them by at once, and ends as done, with its sites pending. */
export const quick = {
  waves: [{ percent: 100 }],
  gate: { window: "1ms", settle: "1ms" },
  unreachable: { after: "1ms" },
};
export const draft = { title: "an attempt", environment: "prod", strategy: quick };

/** A plant in prod whose configuration was read by two, its test and its dev site, and everybody who might try something. */
export async function openPlant(storage: StorageKind) {
  const central = await startTestCentral({ storage });
  const folder = temporaryFolder();
  const enter = (name: string, roles: readonly Role[], environments: readonly string[] = ["*"]): Promise<Person> =>
    signInAs(central, name, { roles, environments });
  /** Writes, and approves as well: the one who tries. */
  const ada = await enter("ada", ["engineer", "approver", "operator"]);
  const ben = await enter("ben", ["engineer", "approver"]);
  const cleo = await enter("cleo", ["approver"]);
  const dora = await enter("dora", ["engineer", "approver"], ["dev", "test"]);
  const olga = await enter("olga", ["operator"]);
  const vera = await enter("vera", ["viewer"]);
  const root = await enter("root", ["admin"]);
  for (const name of ["lyon", "lyon-t", "lyon-d"]) await central.addSite(name);

  const step = async (who: Person, number: number, action: string, body: object = {}): Promise<Answer> =>
    who.call("POST", `/v1/changes/${number}/${action}`, body);
  const read = async (number: number, who = vera): Promise<ChangeView> =>
    (await who.call<ChangeView>("GET", `/v1/changes/${number}`)).body;
  const write = async (who: Person, body: object): Promise<number> => {
    const made = await who.call<ChangeView>("POST", "/v1/changes", { ...draft, ...body });
    if (made.status !== 201) throw new Error(`no draft: ${JSON.stringify(made.body)}`);
    return made.body.number;
  };
  const approve = async (who: Person, number: number, digest?: string): Promise<Answer> =>
    step(who, number, "approve", { digest: digest ?? (await read(number)).digest });
  const must = async (answer: Promise<Answer>): Promise<void> => {
    const { status, body } = await answer;
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
  };
  const ended = async (number: number): Promise<void> => {
    const { state } = await eventually(
      () => read(number),
      ({ state }) => ["done", "aborted", "rolled-back"].includes(state),
    );
    if (state !== "done") throw new Error(`change ${number} is ${state}: ${(await read(number)).reason}`);
  };
  const carryOut = async (author: Person, approver: Person, number: number): Promise<void> => {
    await must(step(author, number, "submit"));
    if ((await read(number)).state === "review") await must(approve(approver, number));
    await ended(number);
  };

  const site = (name: string, environment: string, labels: Record<string, string> = {}) =>
    siteFile(name, { environment, ...labels });
  const template = (purpose: string) => templateFile({ flow: { purpose } });
  const dev = await write(ada, { environment: "dev", files: [template("first"), site("lyon-d", "dev")] });
  await carryOut(ada, ada, dev);
  const inTest = await write(ada, { environment: "test", files: [template("first"), site("lyon-t", "test")] });
  await carryOut(ada, ben, inTest);
  await carryOut(ada, ben, await write(ada, { files: [template("first"), site("lyon", "prod")] }));

  const token = async (who: Person, roles: readonly Role[]): Promise<string> => {
    const made = await who.call<{ token: string }>("POST", "/v1/tokens", { purpose: "tries", roles, lifeSeconds: 3600 });
    if (made.status !== 201) throw new Error(`no token: ${JSON.stringify(made.body)}`);
    return made.body.token;
  };
  const bearer = async (secret: string, method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await fetch(central.url + path, {
      method,
      headers: { authorization: `Bearer ${secret}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  /** A command of somebody's, in a process of its own; a refusal is its exit code and what it says. */
  const command = async (secret: string, ...args: string[]): Promise<Answer> => {
    mkdirSync(join(folder.path, ".plantgate"), { recursive: true });
    writeFileSync(join(folder.path, "token"), secret);
    writeFileSync(join(folder.path, ".plantgate", "cli.json"), JSON.stringify({ url: central.url, tokenFile: "../token" }));
    const { code, out, err } = await plantgate(args, { cwd: folder.path });
    return { status: code === 0 ? 200 : 400, body: { detail: err, out } };
  };
  const file = (source: { name: string; text: string }): string => {
    writeFileSync(join(folder.path, source.name), source.text);
    return source.name;
  };

  /** All of prod that an attempt could move. */
  const prod = async (): Promise<unknown> => {
    const { body: sites } = await vera.call<{ sites: { name: string; desiredRevision: number; labels: object }[] }>(
      "GET",
      "/v1/sites",
    );
    const { body: documents } = await vera.call<{
      documents: { kind: string; name: string; environments: Record<string, number> }[];
    }>("GET", "/v1/documents");
    const { body: rolled } = await vera.call<{ rollouts: RolloutSummary[] }>("GET", "/v1/rollouts?environment=prod");
    return {
      site: sites.sites.filter(({ name }) => name === "lyon").map(({ desiredRevision, labels }) => ({ desiredRevision, labels })),
      inForce: documents.documents.flatMap(({ kind, name, environments }) =>
        environments.prod === undefined ? [] : [`${kind}/${name}@${environments.prod}`],
      ),
      rollouts: rolled.rollouts.length,
    };
  };
  return {
    ...{ central, ada, ben, cleo, dora, olga, vera, root, dev, inTest },
    ...{ step, read, write, approve, must, ended, carryOut, site, template, token, bearer, command, file, prod },
  };
}
export type Plant = Awaited<ReturnType<typeof openPlant>>;
