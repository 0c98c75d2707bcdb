import { describe, expect, it } from "vitest";
import { openLogger } from "../../../central/telemetry/logger.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { cookieOf, followLink, type Person, personOf, signInAs } from "../../support/people.ts";
import { storages } from "../../support/storages.ts";

const password = "correct horse battery";
const minute = 60_000;

interface SignedIn {
  status: number;
  body: { code?: string; detail?: string; csrf?: string };
  headers: Headers;
  cookie: string;
}

/** Signs in as a browser would, from an address that a proxy on this machine tells. */
async function signIn(
  central: TestCentral,
  user: string,
  given: string,
  options: { from?: string; cookie?: string } = {},
): Promise<SignedIn> {
  const answer = await fetch(`${central.url}/v1/session`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-forwarded-for": options.from ?? "192.0.2.1",
      ...(options.cookie ? { cookie: options.cookie } : {}),
    },
    body: JSON.stringify({ user, password: given }),
  });
  const body = (await answer.json()) as SignedIn["body"];
  return { status: answer.status, body, headers: answer.headers, cookie: cookieOf(answer) };
}

/** A user with a password. */
async function addPerson(central: TestCentral, name: string): Promise<Person> {
  await central.admin("POST", "/v1/users", { name, roles: ["engineer"] });
  const link = await central.admin<{ url: string }>("POST", `/v1/users/${name}/links`, {});
  const person = await followLink(central, link.body.url);
  const set = await person.call("PUT", "/v1/session/password", { next: password });
  if (set.status !== 200) throw new Error(`no password was set: ${JSON.stringify(set.body)}`);
  return person;
}

async function auditOf(central: TestCentral, query: string): Promise<string[]> {
  const { body } = await central.admin<{ entries: { actor: string; action: string; subject: string }[] }>(
    "GET",
    `/v1/audit?${query}`,
  );
  return body.entries.map(({ actor, action, subject }) => `${actor} ${action} ${subject}`);
}

/** Everything that central said while it started. */
function listeningLog() {
  const lines: Record<string, unknown>[] = [];
  const log = openLogger({ level: "info", destination: { write: (line: string) => void lines.push(JSON.parse(line)) } });
  const firstLink = (): string | undefined =>
    lines.filter(({ event }) => event === "central.firstLink.made").at(-1)?.url as never;
  return { log, lines, firstLink };
}

describe.each(await storages())("signing in on %s", (storage) => {
  describe("the first start", () => {
    it("tells a link that makes the first admin, once, and none once there is somebody", async () => {
      const heard = listeningLog();
      await using central = await startTestCentral({ storage, parts: { log: heard.log } });
      const url = heard.firstLink() ?? "";
      const first = await followLink(central, url);
      expect((await first.call("GET", "/v1/session")).body).toMatchObject({
        user: "admin",
        kind: "user",
        roles: ["admin"],
        environments: ["*"],
        mustSetPassword: true,
      });
      expect((await fetch(url, { redirect: "manual" })).status).toBe(401);
      expect((await first.call("PUT", "/v1/session/password", { next: password })).body).toMatchObject({
        mustSetPassword: false,
      });
      expect((await signIn(central, "admin", password)).status).toBe(200);
      expect(await auditOf(central, "subject=user/admin")).toEqual([
        "central user.added user/admin",
        "admin login.succeeded user/admin",
        "admin password.set user/admin",
        "admin login.succeeded user/admin",
      ]);
      const again = listeningLog();
      await central.restart({ log: again.log });
      expect(again.firstLink()).toBeUndefined();
    });

    it("says that central is up once nothing of it is left to do: who reads that may stop it", async () => {
      const { log, lines } = listeningLog();
      await using _central = await startTestCentral({ storage, parts: { log } });
      const told = lines.map(({ event }) => event).filter((event) => /firstLink.made|process.started/.test(String(event)));
      expect(told).toEqual(["central.firstLink.made", "central.process.started"]);
    });

    it("takes the link of a start before, but not once somebody else was added, and not after a day", async () => {
      const clock = settableClock();
      const heard = listeningLog();
      await using central = await startTestCentral({ storage, parts: { log: heard.log, clock } });
      const stale = heard.firstLink() ?? "";
      clock.pass(24 * 60 * minute);
      expect((await fetch(stale, { redirect: "manual" })).status).toBe(401);
      await central.restart({ log: heard.log, clock });
      const url = heard.firstLink() ?? "";
      expect(url).not.toBe(stale);
      await central.admin("POST", "/v1/users", { name: "anna", roles: ["admin"] });
      expect((await fetch(url, { redirect: "manual" })).status).toBe(401);
      expect((await central.admin<{ users: unknown[] }>("GET", "/v1/users")).body.users).toHaveLength(1);
    });

    it("makes one admin of two browsers that open it at once", async () => {
      const heard = listeningLog();
      await using central = await startTestCentral({ storage, parts: { log: heard.log } });
      const answers = await Promise.all(Array.from({ length: 5 }, () => fetch(heard.firstLink() ?? "", { redirect: "manual" })));
      expect(answers.map(({ status }) => status).sort()).toEqual([302, 401, 401, 401, 401]);
      expect((await central.admin<{ users: unknown[] }>("GET", "/v1/users")).body.users).toHaveLength(1);
    });
  });

  describe("a password", () => {
    it("says the same of a wrong one, of somebody unknown, locked, disabled or without one", async () => {
      await using central = await startTestCentral({ storage });
      for (const name of ["anna", "bo"]) await addPerson(central, name);
      await central.admin("POST", "/v1/users", { name: "carl", roles: ["viewer"] });
      await central.admin("PATCH", "/v1/users/bo", { disabled: true });
      const answers = [
        await signIn(central, "anna", "something else"),
        await signIn(central, "nobody", password),
        await signIn(central, "bo", password),
        await signIn(central, "carl", password),
      ];
      for (let i = 0; i < 4; i++) await signIn(central, "anna", "something else");
      answers.push(await signIn(central, "anna", password));
      for (const answer of answers) {
        expect([answer.status, answer.body]).toEqual([401, answers[0]?.body]);
        expect(answer.cookie).toBe("");
      }
      expect(answers[0]?.body.code).toBe("not-signed");
    });

    it("has twelve characters at least, and takes the one before, or a link", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await addPerson(central, "anna");
      const set = async (body: unknown) => (await anna.call("PUT", "/v1/session/password", body)).status;
      expect(await set({ current: password, next: "eleven char" })).toBe(422);
      expect(await set({ next: "another password" })).toBe(422);
      const wrong = await anna.call("PUT", "/v1/session/password", { current: "not that one", next: "another password" });
      expect([wrong.status, wrong.body.problems]).toEqual([422, [expect.objectContaining({ path: "current" })]]);
      expect((await anna.call("GET", "/v1/session")).status).toBe(200);
      expect(await set({ current: password, next: "another password" })).toBe(200);
      expect((await signIn(central, "anna", password)).status).toBe(401);
      expect((await signIn(central, "anna", "another password")).status).toBe(200);
    });

    it("that changes ends every other session of its user", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await addPerson(central, "anna");
      const elsewhere = await signIn(central, "anna", password);
      const other = personOf(central, { name: "anna", cookie: elsewhere.cookie, csrf: elsewhere.body.csrf ?? "" });
      const before = anna.cookie;
      expect((await other.call("GET", "/v1/sites")).status).toBe(200);
      expect((await anna.call("PUT", "/v1/session/password", { current: password, next: "another password" })).status).toBe(200);
      expect(anna.cookie).not.toBe(before);
      expect((await anna.call("GET", "/v1/sites")).status).toBe(200);
      expect((await other.call("GET", "/v1/sites")).status).toBe(401);
      expect((await fetch(`${central.url}/v1/sites`, { headers: { cookie: before } })).status).toBe(401);
    });

    it("locks its user for longer each time it is wrong, whichever replica judges, until a while has passed or an admin unlocks", async () => {
      const clock = settableClock();
      clock.hold();
      await using central = await startTestCentral({ storage, parts: { clock } });
      await addPerson(central, "anna");
      const wrong = (from: string) => signIn(central, "anna", "something else", { from });
      for (let i = 0; i < 5; i++) await wrong("192.0.2.1");
      expect((await signIn(central, "anna", password)).status).toBe(401);
      const locked = await central.admin<{ users: { lockedUntil: string }[] }>("GET", "/v1/users");
      expect(Date.parse(locked.body.users[0]?.lockedUntil ?? "") - clock.now()).toBeGreaterThan(29_000);
      await central.restart({ clock });
      expect((await signIn(central, "anna", password)).status).toBe(401);
      clock.pass(31_000);
      await wrong("192.0.2.2");
      clock.pass(31_000);
      expect((await signIn(central, "anna", password)).status).toBe(401);
      clock.pass(30_000);
      expect((await signIn(central, "anna", password)).status).toBe(200);
      for (let i = 0; i < 5; i++) await wrong("192.0.2.3");
      expect((await signIn(central, "anna", password)).status).toBe(401);
      expect((await central.admin("PATCH", "/v1/users/anna", { unlock: true })).body).toMatchObject({ lockedUntil: null });
      expect((await signIn(central, "anna", password)).status).toBe(200);
      const said = await auditOf(central, "subject=user/anna&action=login");
      expect(said.filter((one) => one === "anonymous login.locked user/anna")).toHaveLength(3);
      expect(said.filter((one) => one === "anonymous login.failed user/anna")).toHaveLength(11);
      expect(said.filter((one) => one === "anonymous login.refused user/anna")).toHaveLength(4);
    });

    it("counts wrong ones that come at once as if they came one by one", async () => {
      await using central = await startTestCentral({ storage });
      await addPerson(central, "anna");
      await Promise.all(Array.from({ length: 12 }, () => signIn(central, "anna", "something else")));
      const said = await auditOf(central, "subject=user/anna&action=login");
      expect(said.filter((one) => one.includes("login.failed"))).toHaveLength(5);
      expect(said.filter((one) => one.includes("login.refused"))).toHaveLength(7);
    });

    it("locks nobody for years when the clock jumps", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, parts: { clock } });
      await addPerson(central, "anna");
      clock.aheadMs += 10 * 365 * 86_400_000;
      for (let i = 0; i < 5; i++) await signIn(central, "anna", "something else");
      expect((await signIn(central, "anna", password)).status).toBe(401);
      clock.aheadMs = 0;
      expect((await signIn(central, "anna", password)).status).toBe(200);
    });

    it("that is guessed from one address is stopped there, and keeps nobody else out for longer than a lock", async () => {
      const clock = settableClock();
      clock.hold();
      await using central = await startTestCentral({ storage, parts: { clock } });
      await addPerson(central, "anna");
      const guess = (user: string) => signIn(central, user, "something else", { from: "203.0.113.9" });
      for (let i = 0; i < 20; i++) expect((await guess(i % 2 ? "anna" : `nobody-${i}`)).status).toBe(401);
      const stopped = await guess("anna");
      expect([stopped.status, stopped.body.code, Number(stopped.headers.get("retry-after")) > 1000]).toEqual([
        429,
        "limited",
        true,
      ]);
      expect((await guess("somebody")).status).toBe(429);
      expect((await fetch(`${central.url}/signin?code=x`, { headers: { "x-forwarded-for": "203.0.113.9" } })).status).toBe(429);
      clock.pass(15 * minute);
      // still stopped, while the lock that it caused is over
      expect((await guess("anna")).status).toBe(429);
      expect((await signIn(central, "anna", password, { from: "192.0.2.1" })).status).toBe(200);
      expect((await auditOf(central, "action=login.limited")).length).toBe(1);
    });

    it("is asked for at the address that our own proxy saw, not at one that somebody claims", async () => {
      await using central = await startTestCentral({ storage });
      for (let i = 0; i < 20; i++)
        expect((await signIn(central, "nobody", password, { from: `198.51.100.${i}, 203.0.113.9` })).status).toBe(401);
      expect((await signIn(central, "nobody", password, { from: "198.51.100.99, 203.0.113.9" })).status).toBe(429);
      expect((await signIn(central, "nobody", password, { from: "198.51.100.1" })).status).toBe(401);
      await using direct = await startTestCentral({ storage, settings: { trustedProxies: ["192.0.2.0/24"] } });
      for (let i = 0; i < 20; i++)
        expect((await signIn(direct, "nobody", password, { from: `198.51.100.${i}` })).status).toBe(401);
      expect((await signIn(direct, "nobody", password, { from: "198.51.100.99" })).status).toBe(429);
    });
  });

  describe("a browser's session", () => {
    it("changes nothing without its own CSRF token", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["admin"] });
      const bo = await signInAs(central, "bo", { roles: ["admin"] });
      const add = async (headers: Record<string, string>, name: string) => {
        const answer = await fetch(`${central.url}/v1/users`, {
          method: "POST",
          headers: { "content-type": "application/json", cookie: anna.cookie, ...headers },
          body: JSON.stringify({ name, roles: ["viewer"] }),
        });
        return [answer.status, ((await answer.json()) as { code?: string }).code];
      };
      expect(await add({}, "one")).toEqual([403, "not-allowed"]);
      expect(await add({ "plantgate-csrf": "" }, "one")).toEqual([403, "not-allowed"]);
      expect(await add({ "plantgate-csrf": `${anna.csrf}x` }, "one")).toEqual([403, "not-allowed"]);
      expect(await add({ "plantgate-csrf": bo.csrf }, "one")).toEqual([403, "not-allowed"]);
      for (const from of ["cross-site", "same-site"])
        expect(await add({ "plantgate-csrf": anna.csrf, "sec-fetch-site": from }, "one")).toEqual([403, "not-allowed"]);
      expect(await add({ "plantgate-csrf": anna.csrf, "sec-fetch-site": "same-origin" }, "one")).toEqual([201, undefined]);
      expect(await add({ "plantgate-csrf": anna.csrf }, "two")).toEqual([201, undefined]);
      for (const [method, path] of [
        ["DELETE", "/v1/session"],
        ["PATCH", "/v1/users/one"],
        ["PUT", "/v1/session/password"],
        ["DELETE", "/v1/tokens/x"],
      ] as const)
        expect([path, (await fetch(central.url + path, { method, headers: { cookie: anna.cookie } })).status]).toEqual([
          path,
          403,
        ]);
    });

    it("begins for no page of another origin, and no form", async () => {
      await using central = await startTestCentral({ storage });
      await addPerson(central, "anna");
      const body = JSON.stringify({ user: "anna", password });
      const post = async (headers: Record<string, string>) =>
        (await fetch(`${central.url}/v1/session`, { method: "POST", headers, body })).status;
      expect(await post({ "content-type": "application/json", "sec-fetch-site": "cross-site" })).toBe(403);
      expect(await post({ "content-type": "text/plain" })).toBe(415);
      expect(await post({ "content-type": "application/x-www-form-urlencoded" })).toBe(415);
      const long = await fetch(`${central.url}/v1/session`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ user: "anna", password: "x".repeat(8192) }),
      });
      expect(long.status).toBe(413);
    });

    it("is a new one with each sign-in, whatever cookie was planted before", async () => {
      await using central = await startTestCentral({ storage });
      const mallory = await signInAs(central, "mallory");
      await addPerson(central, "anna");
      for (const planted of ["plantgate-session=chosen-by-somebody", mallory.cookie]) {
        const signed = await signIn(central, "anna", password, { cookie: planted });
        expect(signed.status).toBe(200);
        expect(signed.cookie).not.toBe(planted);
        expect((await fetch(`${central.url}/v1/sites`, { headers: { cookie: planted } })).status).toBe(401);
        const session = await fetch(`${central.url}/v1/session`, { headers: { cookie: signed.cookie } });
        expect(await session.json()).toMatchObject({ user: "anna" });
      }
      const link = await central.admin<{ url: string }>("POST", "/v1/users/anna/links", {});
      const followed = await followLink(central, link.body.url, { cookie: "plantgate-session=chosen-by-somebody" });
      expect(followed.cookie).not.toContain("chosen-by-somebody");
    });

    it("ends with signing out, when its user is disabled, after twelve hours, and when the clock was set back by years", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, parts: { clock } });
      const may = async (person: Person) => (await person.call("GET", "/v1/sites")).status;
      const [anna, bo, carl] = [await signInAs(central, "anna"), await signInAs(central, "bo"), await signInAs(central, "carl")];
      expect((await anna.call("DELETE", "/v1/session")).status).toBe(204);
      await central.admin("PATCH", "/v1/users/bo", { disabled: true });
      expect([await may(anna), await may(bo), await may(carl)]).toEqual([401, 401, 200]);
      await central.admin("PATCH", "/v1/users/bo", { disabled: false });
      expect(await may(bo)).toBe(401);
      clock.aheadMs -= 5 * 365 * 86_400_000;
      expect(await may(carl)).toBe(401);
      clock.aheadMs += 5 * 365 * 86_400_000;
      clock.pass(11 * 60 * minute);
      expect(await may(carl)).toBe(200);
      clock.pass(60 * minute);
      expect(await may(carl)).toBe(401);
    });

    it("that has ended ends what it follows", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, parts: { clock } });
      const anna = await signInAs(central, "anna");
      const made = await anna.call<{ id: string; token: string }>("POST", "/v1/tokens", {
        purpose: "x",
        roles: ["viewer"],
        lifeSeconds: 600,
      });
      const follow = async (headers: Record<string, string>) => {
        const answer = await fetch(`${central.url}/v1/events`, { headers });
        const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
        await reader.read();
        return async () => {
          while (!(await reader.read()).done);
          return true;
        };
      };
      const byToken = await follow({ authorization: `Bearer ${made.body.token}` });
      const bySession = await follow({ cookie: anna.cookie });
      await anna.call("DELETE", `/v1/tokens/${made.body.id}`);
      clock.pass(30_000);
      expect(await byToken()).toBe(true);
      await central.admin("PATCH", "/v1/users/anna", { disabled: true });
      clock.pass(30_000);
      expect(await bySession()).toBe(true);
    });

    it("is Secure where TLS ends before central", async () => {
      await using central = await startTestCentral({ storage });
      await addPerson(central, "anna");
      const post = async (headers: Record<string, string>) => {
        const answer = await fetch(`${central.url}/v1/session`, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify({ user: "anna", password }),
        });
        return answer.headers.get("set-cookie") ?? "";
      };
      expect(await post({})).toMatch(/^plantgate-session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
      expect(await post({ "x-forwarded-proto": "https" })).toMatch(/; Secure/);
    });
  });

  it("leaves neither passwords, codes, cookies nor tokens in the database", async () => {
    await using central = await startTestCentral({ storage });
    const anna = await addPerson(central, "anna");
    const link = await central.admin<{ url: string }>("POST", "/v1/users/anna/links", {});
    const made = await anna.call<{ token: string }>("POST", "/v1/tokens", { purpose: "x", roles: ["viewer"], lifeSeconds: 600 });
    const secrets = [
      password,
      new URL(link.body.url).searchParams.get("code") ?? "",
      anna.cookie.split("=")[1] ?? "",
      made.body.token,
      made.body.token.slice(4),
    ];
    const held = JSON.stringify([
      (await central.admin("GET", "/v1/audit?limit=1000")).body,
      (await central.admin("GET", "/v1/users")).body,
      (await central.admin("GET", "/v1/tokens")).body,
    ]);
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(10);
      expect(held).not.toContain(secret);
    }
    expect(held).toContain("token.made");
  });
});
