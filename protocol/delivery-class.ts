import { z } from "zod";
import { duration } from "./measure.ts";

/**
 * What a repeat does at the receiver. `idempotent`: nothing more. `checkable`: it doubles, but the receiver can be asked whether it has it.
 * `once`: it doubles and nobody can tell; an unknown outcome is a person's to decide (P3).
 */
export const effect = z.enum(["idempotent", "checkable", "once"]).meta({
  description:
    "What a repeat does at the receiver. idempotent: nothing more; checkable: it doubles, but the receiver can be asked; once: it doubles and nobody can tell.",
});

/** Attempts that a receiver which is up may fail before a delivery counts as exhausted; an outage uses none up. */
export const retry = z.strictObject({
  attempts: z.int().min(1).max(10_000).default(20).meta({
    description: "Attempts that a receiver which is up may fail before a delivery is exhausted; an outage uses none up.",
  }),
  base: duration.default("500ms").meta({ description: "Pause after the first attempt; it doubles up to cap." }),
  cap: duration.default("30s").meta({ description: "The longest pause between two attempts." }),
});

/** What becomes of an exhausted delivery. `block`: tried on at `cap`. `park`: tried no more until a person decides. Its key waits. */
export const onExhausted = z.enum(["block", "park"]).meta({
  description: "What becomes of an exhausted delivery. block: tried on at cap; park: a person decides. Its key waits in both.",
});
