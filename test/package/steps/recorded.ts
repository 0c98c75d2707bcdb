import type { CentralSide } from "../central.ts";
import { expect } from "../steps.ts";
import { until } from "../wait.ts";

interface Acknowledged {
  readonly central: CentralSide;
  readonly warehouse: { readonly acknowledged: number };
}

/** Waits until nothing waits: each message that was answered with 2xx is at central, once, in order, and none is missing. */
export async function allRecorded({ central, warehouse }: Acknowledged): Promise<void> {
  const count = warehouse.acknowledged;
  const found = await until(
    async () => {
      const { numbers, losses } = await central.recorded();
      const wrong = numbers.findIndex((number, index) => number !== index + 1);
      return { recorded: numbers.length, wrong: wrong === -1 ? "" : `${numbers[wrong]} at place ${wrong + 1}`, losses };
    },
    ({ recorded }) => recorded >= count,
  );
  const { recorded, wrong, losses } = found;
  expect(recorded === count && wrong === "" && losses.length === 0, `messages 1 to ${count}, each once, in order`, found);
}
