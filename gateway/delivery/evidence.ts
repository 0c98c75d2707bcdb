import type { Outcome } from "../connector/connector.ts";
import type { Delivery } from "../queue/change.ts";

/**
 * Whose failure it is that a receiver does not answer, where the receiver itself cannot tell: a message is to blame once another key was
 * answered since it was last tried. Without that it may as well be an outage, which uses up nobody's attempts.
 */
export class Evidence {
  /** Answers of each connector's receiver, whatever they said. */
  readonly #answers = new Map<string, number>();
  /** How many there were when a delivery last failed. */
  readonly #atFailure = new Map<number, number>();

  /** An attempt begins. */
  begins({ id, connector }: Delivery): void {
    if (!this.#atFailure.has(id)) this.#atFailure.set(id, this.#answersOf(connector));
  }

  ended({ id, connector }: Delivery, outcome: Outcome): void {
    if ("unanswered" in outcome) return;
    this.#answers.set(connector, this.#answersOf(connector) + 1);
    this.#atFailure.delete(id);
  }

  /** It was not answered. @returns whether others were since it was last tried: of its own key there is none, it waits behind this one */
  isToBlame({ id, connector }: Delivery): boolean {
    const answers = this.#answersOf(connector);
    const before = this.#atFailure.get(id) ?? answers;
    this.#atFailure.set(id, answers);
    return answers > before;
  }

  forget(id: number): void {
    this.#atFailure.delete(id);
  }

  #answersOf(connector: string): number {
    return this.#answers.get(connector) ?? 0;
  }
}
