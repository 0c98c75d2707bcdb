import { describe, expect, it } from "vitest";
import { keepAlive } from "../../protocol/index.ts";

/** A clock whose every sleep is counted and ends at once; the third one ends the wait. */
function counting(ending: AbortController) {
  const slept: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    if (slept.length === 3) ending.abort();
  };
  return { slept, sleep };
}

describe("a supervisor that watches", () => {
  it("is told three times as often as it asks, as long as the way of the messages answers", async () => {
    const ending = new AbortController();
    const clock = counting(ending);
    let told = 0;
    const answers = [true, false, true];
    await keepAlive(
      { ready() {}, stopping() {}, aliveEveryMs: 90_000, alive: () => void told++ },
      async () => {
        if (!answers.shift()) throw new Error("the queue's worker does not answer");
      },
      clock,
      ending.signal,
    );
    expect({ told, slept: clock.slept }).toEqual({ told: 2, slept: [30_000, 30_000, 30_000] });
  });

  it("is told nothing while the answer does not come", async () => {
    const ending = new AbortController();
    let told = 0;
    const supervisor = { ready() {}, stopping() {}, aliveEveryMs: 3, alive: () => void told++ };
    void keepAlive(supervisor, () => new Promise(() => {}), counting(ending), ending.signal);
    await new Promise(setImmediate);
    expect(told).toBe(0);
  });
});
