/**
 * Orders versions as dpkg does: 0.10.0 is newer than 0.9.0, 1.0.0-rc.1 older than 1.0.0. What stands behind a plus counts last (ADR 0154): whoever
 * could be led from 1.0.0+2 to 1.0.0+1 unasked could be led to an old hole.
 * @returns below 0 where `a` is older
 */
export function compareVersions(a: string, b: string): number {
  const [one, other] = [partsOf(a), partsOf(b)];
  return (
    compareParts(one.core, other.core) ||
    Number(one.pre.length === 0) - Number(other.pre.length === 0) ||
    compareParts(one.pre, other.pre) ||
    compareParts(one.build, other.build)
  );
}

interface Parts {
  readonly core: readonly string[];
  readonly pre: readonly string[];
  readonly build: readonly string[];
}

function partsOf(version: string): Parts {
  const [known = "", ...behind] = version.split("+");
  const build = behind.flatMap((part) => part.split("."));
  // Debian writes 1.0.0~rc.1 for what semver calls 1.0.0-rc.1
  const at = known.search(/[-~]/);
  const core = at === -1 ? known : known.slice(0, at);
  return { core: core.split("."), pre: at === -1 ? [] : known.slice(at + 1).split("."), build };
}

function compareParts(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [one, other] = [a[index], b[index]];
    if (one === undefined || other === undefined) return one === undefined ? -1 : 1;
    const [n, m] = [Number(one), Number(other)];
    const bothNumbers = /^\d+$/.test(one) && /^\d+$/.test(other);
    const order = bothNumbers ? n - m : one < other ? -1 : one > other ? 1 : 0;
    if (order !== 0) return order;
  }
  return 0;
}
