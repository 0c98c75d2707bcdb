import { type Clock, type ShadowFlow, type ShadowReport, shadowFlow, toInstant } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";

/** Reports of a flow that are kept. */
const keptPerFlow = 24;

/** What flows in shadow would have done otherwise than the live ones, as their gateways report it. */
export class ShadowReports {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** Durable on return. A flow that is not in the report is not in shadow any more: its reports go. */
  async take(site: string, { flows }: ShadowReport): Promise<void> {
    const { storage, clock } = this.#deps;
    await storage.transaction().execute(async (tx) => {
      // reports of one site come one after the other, whatever the clock does between them
      const last = await tx
        .selectFrom("shadow_reports")
        .select((eb) => eb.fn.max("at").as("at"))
        .where("site", "=", site)
        .executeTakeFirst();
      const at = Math.max(clock.now(), (last?.at ?? 0) + 1);
      const names = flows.map(({ flow }) => flow);
      let gone = tx.deleteFrom("shadow_reports").where("site", "=", site);
      if (names.length > 0) gone = gone.where("flow", "not in", names);
      await gone.execute();
      for (const flow of new Map(flows.map((each) => [each.flow, each])).values()) {
        await tx
          .insertInto("shadow_reports")
          .values({ site, flow: flow.flow, at, report: JSON.stringify(flow) })
          .execute();
        const old = await tx
          .selectFrom("shadow_reports")
          .select("at")
          .where("site", "=", site)
          .where("flow", "=", flow.flow)
          .orderBy("at", "desc")
          .offset(keptPerFlow)
          .limit(1)
          .executeTakeFirst();
        if (old)
          await tx
            .deleteFrom("shadow_reports")
            .where("site", "=", site)
            .where("flow", "=", flow.flow)
            .where("at", "<=", old.at)
            .execute();
      }
    });
  }

  /** Of each flow its last report. */
  async of(site: string): Promise<(ShadowFlow & { readonly reportedAt: string })[]> {
    const rows = await this.#deps.storage
      .selectFrom("shadow_reports")
      .selectAll()
      .where("site", "=", site)
      .orderBy("flow")
      .orderBy("at", "desc")
      .execute();
    const newest = new Map<string, (typeof rows)[number]>();
    for (const row of rows) if (!newest.has(row.flow)) newest.set(row.flow, row);
    return [...newest.values()].map(({ report, at }) => ({ ...shadowFlow.parse(JSON.parse(report)), reportedAt: toInstant(at) }));
  }
}
