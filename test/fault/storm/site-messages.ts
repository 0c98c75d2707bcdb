import type { Lane } from "../../../protocol/index.ts";
import type { TestGateway, TestLane } from "../../support/gateway-client.ts";
import { pick, sample } from "../../support/messages.ts";

const marks = { id: "00000000-0000-4000-8000-000000000000", number: "987654321" } as const;

/** Lines of one lane as fast as text can be made: an event of the real type, with id and number put in. */
function lineMaker(site: string, lane: Lane): (n: number) => string {
  const event =
    lane === "telemetry"
      ? sample(site, Number(marks.number), { id: marks.id })
      : pick(site, marks.number, { id: marks.id, moId: `${site}-mo-${marks.number}` });
  const parts = JSON.stringify(event).split(new RegExp(`(${marks.id}|${marks.number})`));
  return (n) => {
    const id = `${lane}-${n}`;
    return parts.map((part) => (part === marks.id ? id : part === marks.number ? String(n) : part)).join("");
  };
}

/** A lane with its backlog: `batches` of `frames` frames each. */
export function backlogOf(
  gateway: TestGateway,
  lane: Lane,
  options: { batches: number; frames: number; messages: number },
): { lane: TestLane; batches: ReturnType<TestLane["batch"]>[] } {
  const line = lineMaker(gateway.site, lane);
  const kept = gateway.lane(lane);
  const batches: ReturnType<TestLane["batch"]>[] = [];
  for (let batch = 0; batch < options.batches; batch++) {
    const first = kept.last + 1;
    for (let frame = 0; frame < options.frames; frame++) {
      const from = kept.last + 1;
      kept.append(Array.from({ length: options.messages }, (_, index) => line(from + index)));
    }
    batches.push(kept.batch(first, kept.last));
  }
  return { lane: kept, batches };
}
