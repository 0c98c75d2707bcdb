import { describe, expect, it } from "vitest";
import { isOutdated, Passwords } from "../../../central/auth/passwords.ts";

const password = "correct horse battery";

describe("passwords", () => {
  it("lie as argon2id with what OWASP recommends, each with a salt of its own", async () => {
    const passwords = new Passwords();
    const [one, other] = [await passwords.hash(password), await passwords.hash(password)];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(other);
    expect(await passwords.verify(password, one)).toBe(true);
    expect(await passwords.verify(`${password}!`, one)).toBe(false);
  });

  it("are the same however a keyboard spells a letter", async () => {
    const passwords = new Passwords();
    expect(await passwords.verify("Cafe\u0301 am Bahnhof", await passwords.hash("Caf\u00e9 am Bahnhof"))).toBe(true);
  });

  it("stay what they were when the cost for new ones changes", async () => {
    const stored = "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$KEavfXt6WgBRSLAiCSgq+bMg1nzdPPO+umF6TmbgyM0";
    expect(await new Passwords().verify("password1234", stored)).toBe(true);
    expect(isOutdated(stored)).toBe(false);
    expect(isOutdated(stored.replace("t=2", "t=1"))).toBe(true);
    expect(await new Passwords().verify("password1234", stored.replace("t=2", "t=1"))).toBe(false);
  });

  it("take as long where there is none", async () => {
    const passwords = new Passwords();
    const stored = (await passwords.hash(password)) as string;
    // of the processor, as others have it meanwhile
    const leastMs = async (against: string | null): Promise<number> => {
      const took: number[] = [];
      for (let i = 0; i < 7; i++) {
        const before = process.cpuUsage();
        expect(await passwords.verify("something else", against)).toBe(false);
        const { user, system } = process.cpuUsage(before);
        took.push((user + system) / 1000);
      }
      return Math.min(...took);
    };
    const [known, unknown] = [await leastMs(stored), await leastMs(null)];
    expect(unknown / known).toBeGreaterThan(0.5);
    expect(unknown / known).toBeLessThan(2);
  });

  it("are worked out beside the event loop, and turned away where too many wait", async () => {
    const passwords = new Passwords();
    let turns = 0;
    const turning = setInterval(() => {
      turns += 1;
    }, 1);
    const answers = await Promise.all(Array.from({ length: 60 }, () => passwords.verify(password, null)));
    clearInterval(turning);
    expect(turns).toBeGreaterThan(10);
    expect(answers.filter((answer) => answer === "busy")).toHaveLength(60 - 2 - 32);
    expect(await passwords.verify(password, null)).toBe(false);
  });

  it("never match what is no hash", async () => {
    const passwords = new Passwords();
    for (const stored of ["", "plain", password, "$argon2id$v=19$m=19456,t=2,p=1$$"])
      expect(await passwords.verify(password, stored)).toBe(false);
  });
});
