/** The environments that a change passes through, in this order. A plant may stand in another one, to and from which nothing is carried on. */
export const environmentOrder: readonly string[] = ["dev", "test", "prod"];

/** For sorting: as changes pass through them, then the others by name. */
export function compareEnvironments(a: string, b: string): number {
  const place = (name: string): number =>
    environmentOrder.includes(name) ? environmentOrder.indexOf(name) : environmentOrder.length;
  return place(a) - place(b) || a.localeCompare(b);
}

/** Where a change goes next, once it is done. */
export const nextEnvironment: ReadonlyMap<string, string> = new Map(
  environmentOrder.slice(1).map((next, index) => [environmentOrder[index] as string, next]),
);
/** Where what goes to an environment ran before. */
export const environmentBefore: ReadonlyMap<string, string> = new Map([...nextEnvironment].map(([from, to]) => [to, from]));

/** Why a change of an environment is not carried on to another one, as a sentence. */
export function describeWay(environment: string): string {
  const next = nextEnvironment.get(environment);
  const way = next === undefined ? `from "${environment}" it goes nowhere` : `from "${environment}" it goes to "${next}"`;
  return `a change is carried on from dev to test and from test to prod: ${way}`;
}
