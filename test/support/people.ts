import type { Role } from "../../central/auth/actor.ts";
import type { TestCentral } from "./central.ts";

/** Somebody signed in with a browser. */
export interface Person {
  readonly name: string;
  cookie: string;
  csrf: string;
  /** As a browser's page of central calls: with the cookie, and with the CSRF token where something may change. */
  call<Answer = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<{ status: number; body: Answer }>;
}
export interface PersonOptions {
  readonly roles?: readonly Role[];
  readonly environments?: readonly string[];
}

/** Adds a user and signs in by a link, without a password. */
export async function signInAs(central: TestCentral, name: string, options: PersonOptions = {}): Promise<Person> {
  const { roles = ["viewer"], environments = ["*"] } = options;
  const added = await central.admin("POST", "/v1/users", { name, roles, environments });
  if (added.status !== 201) throw new Error(`user ${name} was not added: ${JSON.stringify(added.body)}`);
  const link = await central.admin<{ url: string }>("POST", `/v1/users/${name}/links`, { setsPassword: false });
  return followLink(central, link.body.url);
}

/** Opens a one-time link. */
export async function followLink(central: TestCentral, url: string, headers: Record<string, string> = {}): Promise<Person> {
  const answer = await fetch(url, { redirect: "manual", headers });
  if (answer.status !== 302) throw new Error(`the link was answered with ${answer.status}: ${await answer.text()}`);
  const cookie = cookieOf(answer);
  const session = await fetch(`${central.url}/v1/session`, { headers: { cookie } });
  const { user, csrf } = (await session.json()) as { user: string; csrf: string };
  return personOf(central, { name: user, cookie, csrf });
}

export function personOf(central: TestCentral, session: { name: string; cookie: string; csrf: string }): Person {
  const person: Person = {
    ...session,
    async call(method, path, body) {
      const answer = await fetch(central.url + path, {
        method,
        headers: {
          cookie: person.cookie,
          ...(method === "GET" ? {} : { "plantgate-csrf": person.csrf }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const renewed = answer.headers.getSetCookie().some((one) => /^plantgate-session=[^;]/.test(one));
      if (renewed) person.cookie = cookieOf(answer);
      const text = await answer.text();
      const read = (text === "" ? {} : JSON.parse(text)) as { csrf?: string };
      if (renewed && read.csrf) person.csrf = read.csrf;
      return { status: answer.status, body: read as never };
    },
  };
  return person;
}

/** What a browser would send back. */
export function cookieOf(answer: Response): string {
  const cookie = answer.headers.getSetCookie().find((one) => one.startsWith("plantgate-session="));
  return cookie?.split(";")[0] ?? "";
}
