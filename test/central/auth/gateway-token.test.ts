import { SignJWT } from "jose";
import { expect, it } from "vitest";
import { GatewayTokens } from "../../../central/auth/gateway-token.ts";
import type { GatewayKey } from "../../../central/site/keys.ts";
import type { SiteRegistry, SiteRow } from "../../../central/site/registry.ts";
import { tokenAudience } from "../../../protocol/index.ts";
import { generateGatewayKey } from "../../support/gateway-client.ts";

async function judging() {
  let nowSeconds = 1_800_000_000;
  const { publicKey, privateKey } = await generateGatewayKey();
  const takenOver = { is: false };
  const row = { name: "lyon", revoked_at: null as number | null } as SiteRow;
  const key = { site: "lyon", fingerprint: "f1", public_key: publicKey, state: "active" } as GatewayKey;
  const findWithKeys = async (name: unknown, kid: string | undefined) => {
    // as the storage does with what it cannot bind
    if (typeof name !== "string") throw new TypeError("cannot be bound");
    const keys = kid === undefined || kid === key.fingerprint ? [{ ...key }] : [];
    return name === "lyon" ? { site: { ...row }, keys } : undefined;
  };
  const tokens = new GatewayTokens({
    registry: { findWithKeys, isTakenOver: async () => takenOver.is } as unknown as SiteRegistry,
    clock: { now: () => nowSeconds * 1000 } as never,
  });
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: "EdDSA" })
    .setIssuer("lyon")
    .setSubject("lyon")
    .setAudience(tokenAudience)
    .setIssuedAt(nowSeconds)
    .setExpirationTime(nowSeconds + 60)
    .sign(privateKey);
  const ask = async (sent = token) => {
    const judged = await tokens.judge(`Bearer ${sent}`, "lyon");
    return judged.ok ? "ok" : judged.code;
  };
  const pass = (seconds: number): void => {
    nowSeconds += seconds;
  };
  const leftBehind = async () => {
    const judged = await tokens.judge(`Bearer ${token}`, "lyon");
    return judged.ok ? "ok" : (judged.leftBehind?.by ?? judged.code);
  };
  return { row, key, token, ask, pass, takenOver, leftBehind };
}

it("takes a token again whose signature held, but not once it has expired", async () => {
  const { ask, pass } = await judging();
  expect([await ask(), await ask()]).toEqual(["ok", "ok"]);
  pass(120);
  expect(await ask()).toBe("token-expired");
});

it("takes a token that held for no other, for no other key, and for no revoked site", async () => {
  const { ask, row, key, token } = await judging();
  expect(await ask()).toBe("ok");
  const forged = `${token.slice(0, -10)}${token.at(-10) === "A" ? "B" : "A"}${token.slice(-9)}`;
  expect(await ask(forged)).toBe("key-unknown");
  Object.assign(key, { public_key: (await generateGatewayKey()).publicKey, fingerprint: "f2" });
  expect(await ask()).toBe("key-unknown");
  row.revoked_at = 1;
  expect(await ask()).not.toBe("ok");
});

it.each([{ a: 1 }, ["lyon"], 7, null, true])(
  "refuses a token whose subject is %j before it asks for a site of that name",
  async (sub) => {
    const { ask } = await judging();
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    expect(await ask(`${part({ alg: "EdDSA" })}.${part({ sub })}.AAAA`)).toBe("token-invalid");
  },
);

it("takes a token whose signature held no more once its key is not live any more, whatever is kept of it", async () => {
  const { ask, key } = await judging();
  expect(await ask()).toBe("ok");
  Object.assign(key, { state: "retiring", retires_at: 1_800_000_000_000 + 60_000 });
  expect(await ask()).toBe("ok");
  // an end that no overlap has
  Object.assign(key, { retires_at: 1_800_000_000_000 + 365 * 86_400_000 });
  expect(await ask()).toBe("key-unknown");
  for (const [state, code] of [
    ["retired", "key-unknown"],
    ["revoked", "site-revoked"],
    ["pending", "not-allowed"],
    ["active", "ok"],
  ]) {
    Object.assign(key, { state });
    expect(await ask()).toBe(code);
  }
});

it.each([
  ["replaced", "key-unknown"],
  ["revoked", "site-revoked"],
])("P5: tells whoever has a %s key that it was replaced only once another gateway runs as the site", async (state, denied) => {
  const { key, row, takenOver, leftBehind } = await judging();
  Object.assign(key, { state });
  expect(await leftBehind()).toBe(denied);
  takenOver.is = true;
  expect(await leftBehind()).toBe("replaced");
  // nobody runs as a site whose access was revoked
  row.revoked_at = 1;
  expect(await leftBehind()).toBe("site-revoked");
});
