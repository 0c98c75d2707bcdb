import { z } from "zod";

/** One agent of the fleet. */
export const agent = z.strictObject({ site: z.string(), dataDir: z.string(), centralKeyFile: z.string(), floorPort: z.int() });
export type AgentPlan = z.infer<typeof agent>;

/** What the demo asks of a process of the fleet; each is answered for each site. */
export const order = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("start"), central: z.url(), agents: z.array(agent) }),
  z.strictObject({ kind: z.literal("stop"), sites: z.array(z.string()) }),
  z.strictObject({ kind: z.literal("count") }),
]);
export type Order = z.infer<typeof order>;

/** `terminalConnects`: how often the terminal had to connect to its gateway's broker; `acknowledged`: reports that the gateway has taken. */
export const counted = z.strictObject({ site: z.string(), terminalConnects: z.int(), acknowledged: z.int() });
export type Counted = z.infer<typeof counted>;
export const told = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("started"), site: z.string() }),
  z.strictObject({ kind: z.literal("stopped"), site: z.string() }),
  z.strictObject({ kind: z.literal("counted"), agents: z.array(counted) }),
]);
export type Told = z.infer<typeof told>;
