import type { StoredFrame } from "./change.ts";
import { Contradiction } from "./damage.ts";
import type { Fault, Reading } from "./frames.ts";
import type { LaneState } from "./lane-state.ts";

export interface ReadOnDeps {
  readonly read: () => Reading;
  readonly state: () => Readonly<LaneState>;
  readonly setAside: (fault: Fault) => void;
}

/**
 * Frames behind `sequence`; what stands before them and cannot be read is dealt with until there are some.
 * @throws Contradiction where that does not come to an end, or where they are not the ones behind `sequence`
 */
export function readOn({ read, state, setAside }: ReadOnDeps, sequence: number): StoredFrame[] {
  const dealtWith = new Set<string>();
  for (;;) {
    const { frames, fault } = read();
    if (!fault || frames.length > 0) {
      const { pruned, next } = state();
      checkFollows(frames, Math.max(sequence, pruned), next);
      return frames;
    }
    // one that comes again was not dealt with, and never will be
    const same = `${fault.kind} ${fault.first} ${fault.count}`;
    if (dealtWith.has(same)) throw new Contradiction(`the fault at sequence ${fault.first} comes again`);
    dealtWith.add(same);
    setAside(fault);
  }
}

/**
 * A tree whose inner pages are damaged finds other frames than were asked for, each of them whole: whoever goes on behind them leaves
 * messages out, or sends the same ones for ever.
 */
function checkFollows(frames: readonly StoredFrame[], sequence: number, next: number): void {
  let expected = sequence + 1;
  for (const [index, { first, count }] of frames.entries()) {
    // a hole may begin before what was asked for
    if (index === 0 ? first > expected : first !== expected) throw new Contradiction("frames do not follow each other");
    if (first + count <= expected) throw new Contradiction("a frame is found where another one is");
    expected = first + count;
  }
  if (frames.length === 0 && expected < next) throw new Contradiction("frames are not found");
}
