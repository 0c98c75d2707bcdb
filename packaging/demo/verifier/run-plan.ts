import { z } from "zod";

/** What the verifier is told of a run: where the simulators wrote, and which values of a press the plants' configuration asks for. */
export const runPlan = z.strictObject({
  erp: z.strictObject({ site: z.string(), file: z.string() }),
  plants: z.array(
    z.strictObject({
      site: z.string(),
      /** Code by which the ERP knows the plant. */
      warehouse: z.string(),
      wms: z.string(),
      terminals: z.string(),
      devices: z.string(),
      scheduler: z.string(),
      presses: z.array(z.strictObject({ name: z.string(), file: z.string() })),
    }),
  ),
  /** Names of the press's nodes that are sampled, such as Strokes. */
  pressItems: z.array(z.string()),
  /** Values that a press set after this instant are not asked for: they may be on their way. */
  until: z.string().optional(),
});
export type RunPlan = z.infer<typeof runPlan>;
