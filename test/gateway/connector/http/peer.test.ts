import { expect, it } from "vitest";
import { Peer } from "../../../../gateway/connector/http/peer.ts";
import { describeError } from "../../../../protocol/index.ts";
import { startHttpPeer } from "../../../support/http-peer.ts";

const never = new AbortController().signal;
const said = (make: () => unknown): string => {
  try {
    make();
    return "made";
  } catch (error) {
    return describeError(error);
  }
};

it.each(["tok-SECRET\nline", "tok-SECRET line", "tok-SECRET\u0007", "tok-SECRET\u20ac", ""])(
  "refuses the token %j when it is made, and does not repeat it (P9)",
  (bearer) => {
    const reason = said(() => new Peer("http://127.0.0.1:9", () => bearer, 1000));
    expect(reason).toContain("auth.bearer is no token");
    expect(reason).not.toContain("SECRET");
  },
);

it.each(["http://user:hunter2@127.0.0.1:9", "http://hunter2@127.0.0.1:9", "http://:hunter2@127.0.0.1:9"])(
  "refuses the address %s when it is made, and does not repeat it (P9)",
  (url) => {
    const reason = said(() => new Peer(url, undefined, 1000));
    expect(reason).toContain("url holds a user or a password");
    expect(reason).not.toContain("hunter2");
  },
);

it("tells of a request that cannot be made that it was not sent, and nothing of what it holds", async () => {
  await using far = await startHttpPeer((_call, response) => response.end());
  const exchange = await new Peer(far.url, () => "t0ken", 1000).ask(
    { method: "GET", path: "/", headers: { key: "SECRET\n" + "x" } },
    never,
  );
  expect(exchange).toMatchObject({ kind: "failed", sent: false });
  expect(JSON.stringify(exchange)).not.toContain("SECRET");
  expect(far.calls).toEqual([]);
});
