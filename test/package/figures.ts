interface CentralFigures {
  readonly installSeconds: number;
  readonly idleRssMiB: number;
  readonly rolledBackSeconds?: number;
  readonly caughtUpSeconds?: number;
}

/** What came of one kind of package. */
export interface Figures {
  readonly packageMiB: number;
  readonly installedMiB?: number;
  readonly installSeconds?: number;
  readonly startSeconds?: number;
  readonly idleRssMiB?: number;
  readonly backlogKept?: boolean;
  readonly rolledBackSeconds?: number;
  readonly central?: CentralFigures;
}

export function mebibytes(bytes: number): number {
  return Math.round((bytes / 1024 ** 2) * 10) / 10;
}
