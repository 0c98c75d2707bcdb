import type { SitesAnswer, SiteView } from "../../central/http/views.ts";

/** Central's public API, as an operator with a token calls it. */
export interface CentralApi {
  readonly url: string;
  addSite(name: string, publicKey: string): Promise<{ readonly signingKey: string }>;
  push(site: string, files: readonly { readonly name: string; readonly text: string }[]): Promise<{ readonly revision: number }>;
  /** Gives a site a secret. */
  setSecret(site: string, name: string, value: string): Promise<void>;
  /** A link, good once and for ten minutes, that signs a browser in as the demo's own user. */
  signinLink(): Promise<string>;
  sites(): Promise<SitesAnswer>;
}
export type { SitesAnswer, SiteView };

/** May everything but approve its own changes. */
const demoUser = "demo";

/** @throws Error with what central said */
export function openCentral(url: string, token: string): CentralApi {
  const call = async (method: "GET" | "POST" | "PUT", path: string, body?: unknown): Promise<unknown> => {
    const answer = await fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`central answered ${answer.status} to ${method} ${path}: ${text.slice(0, 2000)}`);
    return JSON.parse(text);
  };
  return {
    url,
    addSite: async (name, publicKey) => (await call("POST", "/v1/sites", { name, publicKey })) as { signingKey: string },
    push: async (site, files) => (await call("POST", `/v1/sites/${site}/revisions`, { files })) as { revision: number },
    setSecret: async (site, name, value) => {
      await call("PUT", `/v1/secrets/${name}`, { site, value });
    },
    signinLink: async () => {
      await call("POST", "/v1/users", { name: demoUser, roles: ["viewer", "operator", "engineer", "approver", "admin"] });
      return ((await call("POST", `/v1/users/${demoUser}/links`, { setsPassword: false })) as { url: string }).url;
    },
    sites: async () => (await call("GET", "/v1/sites")) as SitesAnswer,
  };
}
