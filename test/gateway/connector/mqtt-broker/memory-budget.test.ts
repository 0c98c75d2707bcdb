import { describe, expect, it } from "vitest";
import { type Holder, MemoryBudget } from "../../../../gateway/connector/mqtt-broker/memory-budget.ts";

class Connection implements Holder {
  heldBytes = 0;
  hasGivenWay = false;
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
    budget.join(this);
  }

  hold(sizeBytes: number): void {
    const change = sizeBytes - this.heldBytes;
    this.heldBytes = sizeBytes;
    this.#budget.moved(change);
  }

  recount(): number {
    return this.heldBytes;
  }

  giveWay(): void {
    this.hasGivenWay = true;
    this.#budget.leave(this, this.heldBytes);
  }
}

describe("the memory that all connections of the embedded broker share (P6)", () => {
  it("is given back by whoever holds most of it, and by no more than have to", () => {
    const budget = new MemoryBudget(1000);
    const many = Array.from({ length: 10 }, () => new Connection(budget));
    for (const [n, each] of many.entries()) each.hold(n * 20);
    expect(many.some(({ hasGivenWay }) => hasGivenWay)).toBe(false);
    many[0]?.hold(150);
    expect(many.map(({ hasGivenWay }) => hasGivenWay).indexOf(true)).toBe(9);
    expect(many.filter(({ hasGivenWay }) => hasGivenWay)).toHaveLength(1);
  });

  it("lets each be read from less far before anybody has to give way, and as far as ever when it is free again", () => {
    const budget = new MemoryBudget(1000);
    const connection = new Connection(budget);
    const usual = budget.allowanceBytes;
    connection.hold(251);
    expect(budget.allowanceBytes).toBeLessThan(usual);
    expect(connection.hasGivenWay).toBe(false);
    connection.hold(0);
    expect(budget.allowanceBytes).toBe(usual);
  });
});
