/** The press itself, without its wire: what its registers hold after each tick. Pure; one tick is 100 ms. */

export const registers = ["Strokes", "Temp", "State", "CurrentOrder", "GoodCount", "ScrapCount"] as const;
export type Register = (typeof registers)[number];
export type Registers = Readonly<Record<Register, number | string>>;

const idle = 0;
const running = 1;

export interface Machine {
  readonly registers: Registers;
  /** Taken when their turn comes: one a tick, so that no register changes twice within a tick. */
  readonly waiting: readonly string[];
  readonly ticks: number;
  readonly strokesOfOrder: number;
}

export interface Pace {
  readonly strokesPerPiece: number;
  readonly piecesPerOrder: number;
  /** Every n-th piece is scrap. */
  readonly scrapEvery: number;
}

export function newMachine(): Machine {
  const zero: Registers = { Strokes: 0, Temp: 40, State: idle, CurrentOrder: "", GoodCount: 0, ScrapCount: 0 };
  return { registers: zero, waiting: [], ticks: 0, strokesOfOrder: 0 };
}

/** An order was written: it takes over at the next free tick. */
export function order(machine: Machine, moId: string): Machine {
  return { ...machine, waiting: [...machine.waiting, moId] };
}

export function tick(machine: Machine, pace: Pace): Machine {
  const ticks = machine.ticks + 1;
  const warm = { ...machine.registers, Temp: temperature(ticks, machine.registers.State === running) };
  const [next, ...waiting] = machine.waiting;
  if (next !== undefined) {
    return {
      registers: { ...warm, CurrentOrder: next, State: running, GoodCount: 0, ScrapCount: 0 },
      waiting,
      ticks,
      strokesOfOrder: 0,
    };
  }
  if (warm.State !== running) return { ...machine, registers: warm, ticks };
  const strokesOfOrder = machine.strokesOfOrder + 1;
  const piece = Math.floor(strokesOfOrder / pace.strokesPerPiece);
  const finished = strokesOfOrder % pace.strokesPerPiece === 0;
  const scrap = finished && piece % pace.scrapEvery === 0;
  return {
    registers: {
      ...warm,
      Strokes: Number(warm.Strokes) + 1,
      GoodCount: Number(warm.GoodCount) + (finished && !scrap ? 1 : 0),
      ScrapCount: Number(warm.ScrapCount) + (scrap ? 1 : 0),
      State: piece >= pace.piecesPerOrder ? idle : running,
    },
    waiting,
    ticks,
    strokesOfOrder,
  };
}

/** Never the same twice in a row: a value that does not change is a value that no subscriber sees. */
function temperature(ticks: number, warm: boolean): number {
  const base = warm ? 62 : 40;
  const swing = 3 * Math.sin(ticks / 50);
  return Number((base + swing + (ticks % 2) * 0.05).toFixed(3));
}
