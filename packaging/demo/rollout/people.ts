/** A person or a tool that calls central; what central refuses is an error with its words. */
export interface Caller {
  call<Answer = unknown>(method: string, path: string, body?: unknown): Promise<Answer>;
}

export function byKey(url: string, key: string): Caller {
  return { call: (method, path, body) => call(url, method, path, body, { authorization: `Bearer ${key}` }) };
}

/** Makes a user, who signs in with the link that central gives out for it, as in a browser. */
export async function signIn(url: string, admin: Caller, name: string, roles: readonly string[]): Promise<Caller> {
  await admin.call("POST", "/v1/users", { name, roles });
  const link = await admin.call<{ url: string }>("POST", `/v1/users/${name}/links`, { setsPassword: false });
  const { pathname, search } = new URL(link.url);
  const answer = await fetch(new URL(pathname + search, url), { redirect: "manual" });
  const cookie = answer.headers.getSetCookie().map((text) => text.split(";")[0] ?? "");
  if (cookie.length === 0) throw new Error(`central did not sign ${name} in: ${answer.status} ${await answer.text()}`);
  const { csrf } = await call<{ csrf: string }>(url, "GET", "/v1/session", undefined, { cookie: cookie.join("; ") });
  const headers = { cookie: cookie.join("; "), "plantgate-csrf": csrf };
  return { call: (method, path, body) => call(url, method, path, body, headers) };
}

async function call<Answer>(
  url: string,
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const answer = await fetch(new URL(path, url), {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`central answered ${answer.status} to ${method} ${path}: ${text.slice(0, 2000)}`);
  return JSON.parse(text) as Answer;
}
