import { z } from "zod";
import { helloAnswer, watermarkAnswer } from "../../../protocol/index.ts";

/** What central took on itself towards gateways, noted on the way, outside of central: the highest watermark of each epoch it answered. */
export class WireLog {
  readonly #watermarks = new Map<string, number>();
  readonly #regressions: string[] = [];
  #lost = 0;
  batches = 0;
  hellos = 0;

  /** Messages that central had acknowledged and did not know any more at a later hello. */
  get lost(): number {
    return this.#lost;
  }

  get regressions(): readonly string[] {
    return this.#regressions;
  }

  /** An answer of central, whether it reached the gateway or not. `requestEpoch`: header Plantgate-Epoch of the batch. */
  answered(path: string, status: number, requestEpoch: string | undefined, body: Buffer): void {
    if (status !== 200) return;
    if (path.endsWith("/batches") && requestEpoch !== undefined) {
      const parsed = parse(watermarkAnswer, body);
      if (!parsed) return;
      this.batches += 1;
      this.#watermarks.set(requestEpoch, Math.max(parsed.watermark, this.#watermarks.get(requestEpoch) ?? 0));
    }
    if (path.endsWith("/sessions")) {
      const parsed = parse(helloAnswer, body);
      if (!parsed) return;
      this.hellos += 1;
      for (const { lane, epoch, watermark } of parsed.watermarks) {
        const before = this.#watermarks.get(epoch) ?? 0;
        if (watermark >= before) continue;
        this.#lost += before - watermark;
        this.#regressions.push(`central had acknowledged ${lane} ${epoch} up to ${before} and knows ${watermark}`);
        this.#watermarks.set(epoch, watermark);
      }
    }
  }
}

function parse<Value>(schema: z.ZodType<Value>, body: Buffer): Value | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(body.toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
