import type { z } from "zod";
import { batchHeaders, hello, helloAnswer, type StatusReport, statusReport, watermarkAnswer } from "../../../protocol/index.ts";

/** Messages of one lane that the gateway told central it will never send. */
export interface Hole {
  readonly lane: string;
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
  readonly reason: string;
}

/** An epoch and what it says it continues. */
export interface Continued {
  readonly lane: string;
  readonly epoch: string;
  readonly firstSequence: number;
  readonly predecessor: { readonly epoch: string; readonly lastSequence: number } | undefined;
}

/** One request as the link saw it, with central's answer, whether that reached the gateway or not. */
export interface Passed {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly request: Buffer;
  readonly status: number;
  readonly answer: Buffer;
}

/**
 * What gateway and central told each other, noted on the way and outside of both: the highest watermark that central answered for each
 * epoch, the holes that it took, the epochs that were opened.
 */
export class WireLog {
  readonly #watermarks = new Map<string, number>();
  readonly #holes = new Map<string, Hole>();
  readonly #epochs = new Map<string, Continued>();
  readonly regressions: string[] = [];
  /** Messages that central had acknowledged and did not know any more at a later hello. */
  lost = 0;
  batches = 0;
  hellos = 0;
  /** Batches that central did not take, by status. */
  readonly refused: Record<number, number> = {};
  readonly #reports = new Map<string, { readonly report: StatusReport; readonly at: number }>();

  get holes(): readonly Hole[] {
    return [...this.#holes.values()];
  }

  get epochs(): readonly Continued[] {
    return [...this.#epochs.values()];
  }

  watermark(epoch: string): number {
    return this.#watermarks.get(epoch) ?? 0;
  }

  passed({ path, headers, request, status, answer }: Passed): void {
    if (status !== 200 && path.endsWith("/batches")) this.refused[status] = (this.refused[status] ?? 0) + 1;
    if (status !== 200) return;
    if (path.endsWith("/status")) this.#status(path, request);
    if (path.endsWith("/batches")) this.#batch(path, headers, answer);
    if (path.endsWith("/sessions")) this.#hello(request, answer);
  }

  /** Central is set back on purpose: what it does not know any more is no finding by itself. */
  forgive(): void {
    this.#watermarks.clear();
  }

  /** What a site last said of itself. */
  report(site: string): StatusReport | undefined {
    return this.#reports.get(site)?.report;
  }

  /** Whether a site said, since `after` (by performance.now), that central has all that it has. */
  isIdle(site: string, after = Number.NEGATIVE_INFINITY): boolean {
    const last = this.#reports.get(site);
    return last !== undefined && last.at > after && last.report.lanes.every((lane) => lane.acknowledged >= lane.last);
  }

  #status(path: string, request: Buffer): void {
    const report = parse(statusReport, request);
    if (report) this.#reports.set(path.split("/").at(-2) ?? "", { report, at: performance.now() });
  }

  #batch(path: string, headers: Passed["headers"], answer: Buffer): void {
    const epoch = headers[batchHeaders.epoch];
    const parsed = parse(watermarkAnswer, answer);
    if (!parsed || typeof epoch !== "string") return;
    this.batches += 1;
    this.#watermarks.set(epoch, Math.max(parsed.watermark, this.#watermarks.get(epoch) ?? 0));
    const lane = path.split("/").at(-2) ?? "";
    let next = Number(headers[batchHeaders.firstSequence]);
    for (const entry of String(headers[batchHeaders.frames] ?? "").split(",")) {
      const [count = "0", reason] = entry.includes("~") ? entry.split("~") : [entry.split("/")[0]];
      const last = next + Number(count) - 1;
      if (reason !== undefined) this.#holes.set(`${epoch}/${next}`, { lane, epoch, first: next, last, reason });
      next = last + 1;
    }
  }

  #hello(request: Buffer, answer: Buffer): void {
    const told = parse(hello, request);
    const answered = parse(helloAnswer, answer);
    if (!told || !answered) return;
    this.hellos += 1;
    for (const { lane, epoch, firstSequence, predecessor } of told.epochs)
      this.#epochs.set(epoch, { lane, epoch, firstSequence, predecessor });
    for (const { lane, epoch, watermark } of answered.watermarks) {
      const before = this.#watermarks.get(epoch) ?? 0;
      if (watermark >= before) continue;
      this.lost += before - watermark;
      this.regressions.push(`central had acknowledged ${lane} ${epoch} up to ${before} and knows ${watermark}`);
      this.#watermarks.set(epoch, watermark);
    }
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, body: Buffer): z.infer<Schema> | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(body.toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
