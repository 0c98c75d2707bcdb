import { z } from "zod";
import { durationPattern } from "./base/duration.ts";
import { sizePattern } from "./base/size.ts";

/** A length of time in a document; `durationMs` reads it. */
export const duration = z.string().regex(durationPattern, "a duration such as 100ms, 15s, 5m, 4h or 1d");

/** An amount of storage in a document; `sizeBytes` reads it. */
export const byteSize = z.string().regex(sizePattern, "a size such as 64KiB, 512MiB or 2GiB");
