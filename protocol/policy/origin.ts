/** Where a value of a site's configuration comes from. */
export interface ValueOrigin {
  readonly from: "policy" | "template" | "site" | "default";
  /** `Policy/prod-retention`. */
  readonly document?: string;
  /** For a person, one sentence: why it is this value and no other. */
  readonly because: string;
}

/** One value of a site's configuration: exactly one for each path. */
export interface EffectiveValue {
  /** `queue.lanes.telemetry.maxAge`, `flows.release.retry.attempts`, `parameters.wmsUrl`. */
  readonly path: string;
  /** Null where nobody says one, and the default is that there is none. */
  readonly value: unknown;
  readonly origin: ValueOrigin;
  /** What other documents say, the one that would be heard next first. */
  readonly overrides: readonly { readonly value: unknown; readonly origin: ValueOrigin }[];
}
