import type { Client } from "aedes";
import { describe, expect, it } from "vitest";
import { Sessions } from "../../../../gateway/connector/mqtt-broker/sessions.ts";
import type { User } from "../../../../gateway/connector/mqtt-broker/users.ts";

const user: User = { name: "terminal", mayPublish: () => true, maySubscribe: () => true };
// all that is asked of a client here
const clientOf = (id: string, clean = false): Client & { clean: boolean } => ({ id, clean }) as Client & { clean: boolean };

describe("stored sessions of the embedded broker", () => {
  it("are forgotten past a bound, the one that is away longest first, and it is said (P6)", () => {
    let forgotten = 0;
    const sessions = new Sessions(() => {
      forgotten += 1;
    });
    for (let n = 0; n <= 2000; n++) {
      const client = clientOf(`c${n}`);
      sessions.subscribe(sessions.open(client, user), "orders/#", 1);
      sessions.close(client);
    }
    expect(forgotten).toBe(1);
    expect(sessions.open(clientOf("c0"), user).filters.size).toBe(0);
    expect(sessions.open(clientOf("c1"), user).filters.size).toBe(1);
  });

  it("hear nothing while their client is away, and all again when it is back", () => {
    const sessions = new Sessions(() => {});
    const first = clientOf("c");
    sessions.subscribe(sessions.open(first, user), "orders/#", 1);
    expect(sessions.hasSubscriber("orders/1")).toBe(true);
    sessions.close(first);
    expect(sessions.hasSubscriber("orders/1")).toBe(false);
    sessions.open(clientOf("c"), user);
    expect(sessions.hasSubscriber("orders/1")).toBe(true);
  });

  it("stay with the newer of two connections when the older one's end comes late", () => {
    const sessions = new Sessions(() => {});
    const older = clientOf("c");
    const newer = clientOf("c");
    sessions.subscribe(sessions.open(older, user), "orders/#", 1);
    const session = sessions.open(newer, user);
    sessions.close(older);
    expect(session.client).toBe(newer);
    expect(sessions.hasSubscriber("orders/1")).toBe(true);
  });

  it("end with a clean session of their client", () => {
    const sessions = new Sessions(() => {});
    const first = clientOf("c");
    sessions.subscribe(sessions.open(first, user), "orders/#", 1);
    sessions.close(first);
    sessions.close(first);
    const clean = clientOf("c", true);
    expect(sessions.open(clean, user).filters.size).toBe(0);
    sessions.close(clean);
    expect(sessions.open(clientOf("c"), user).filters.size).toBe(0);
  });
});
