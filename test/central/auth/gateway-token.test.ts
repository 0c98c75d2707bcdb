import { SignJWT } from "jose";
import { expect, it } from "vitest";
import { GatewayTokens } from "../../../central/auth/gateway-token.ts";
import type { SiteRegistry, SiteRow } from "../../../central/site/registry.ts";
import { tokenAudience } from "../../../protocol/index.ts";
import { generateGatewayKey } from "../../support/gateway-client.ts";

async function judging() {
  let nowSeconds = 1_800_000_000;
  const { publicKey, privateKey } = await generateGatewayKey();
  const row = { name: "lyon", public_key: publicKey, revoked_at: null as number | null };
  const find = async (name: unknown) => {
    // as the storage does with what it cannot bind
    if (typeof name !== "string") throw new TypeError("cannot be bound");
    return name === "lyon" ? ({ ...row } as SiteRow) : undefined;
  };
  const tokens = new GatewayTokens({
    registry: { find } as unknown as SiteRegistry,
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
  return { row, token, ask, pass };
}

it("takes a token again whose signature held, but not once it has expired", async () => {
  const { ask, pass } = await judging();
  expect([await ask(), await ask()]).toEqual(["ok", "ok"]);
  pass(120);
  expect(await ask()).toBe("token-expired");
});

it("takes a token that held for no other, for no other key, and for no revoked site", async () => {
  const { ask, row, token } = await judging();
  expect(await ask()).toBe("ok");
  const forged = `${token.slice(0, -10)}${token.at(-10) === "A" ? "B" : "A"}${token.slice(-9)}`;
  expect(await ask(forged)).toBe("key-unknown");
  row.public_key = (await generateGatewayKey()).publicKey;
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
