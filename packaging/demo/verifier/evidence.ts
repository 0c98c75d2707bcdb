/** Every business message has one name, whoever tells of it: `pick lyon T-100045/1`. */
export type Key = string;

/** A system says it sent this. The list of one sender is in the order in which it sent. */
export interface Sent {
  readonly key: Key;
  readonly sender: string;
  readonly orderKey: string;
  /** The gateway took it over; only then it may be called lost. */
  readonly acked: boolean;
  /** What has to arrive unchanged; amounts compare as decimals. */
  readonly fields: Fields;
  /** Who has to feel its effect, exactly once. */
  readonly receivers: readonly string[];
  /** File and line. */
  readonly where: string;
}
export type Fields = Readonly<Record<string, string>>;

/** Central holds this. */
export interface Recorded {
  readonly key: Key;
  readonly orderKey: string;
  readonly fields: Fields;
  readonly position: number;
}

/** A receiver says this had an effect on it. The list of one receiver is in the order in which it happened. */
export interface Effect {
  readonly key: Key;
  readonly receiver: string;
  readonly orderKey: string;
  readonly where: string;
}

/** A sample that a gateway took over, or a value that a press handed out. */
export interface Sample {
  /** `lyon VIB-01 vibration`: who measured what. */
  readonly series: string;
  readonly at: string;
  readonly value: string;
}

/** Central was told that nothing was handed over strictly between these instants. */
export interface Gap {
  readonly series: string;
  readonly after: string;
  readonly until: string;
}

export interface Evidence {
  readonly sent: readonly Sent[];
  readonly recorded: readonly Recorded[];
  readonly effects: readonly Effect[];
  readonly samples: {
    /** Acknowledged to a device, one by one. */
    readonly accepted: readonly Sample[];
    /** Set by a press, whether or not anybody was subscribed. */
    readonly set: readonly Sample[];
    readonly recorded: readonly Sample[];
    readonly gaps: readonly Gap[];
    /** Values that a press set later than this are left out. */
    readonly until?: string;
  };
}

export const keys = {
  release: (site: string, moId: string, revision: number): Key => `release ${site} ${moId}/${revision}`,
  pick: (site: string, txn: string, no: number): Key => `pick ${site} ${txn}/${no}`,
  shortage: (site: string, txn: string): Key => `shortage ${site} ${txn}`,
  finished: (site: string, txn: string): Key => `finished ${site} ${txn}`,
  consumed: (site: string, txn: string, no: number): Key => `consumed ${site} ${txn}/${no}`,
  scrap: (site: string, txn: string): Key => `scrap ${site} ${txn}`,
  schedule: (site: string, workCentre: string, revision: number): Key => `schedule ${site} ${workCentre}/${revision}`,
};
