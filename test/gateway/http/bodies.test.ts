import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, it } from "vitest";
import { Bodies, type BodyOutcome } from "../../../gateway/http/bodies.ts";
import { until } from "../../support/process.ts";

/** A server that gathers bodies, and senders that send as much of theirs as the test says. */
async function open(budgetBytes: number) {
  const bodies = new Bodies(budgetBytes);
  const ended = new Map<string, BodyOutcome>();
  const server = createServer((request, response) => {
    void bodies.read(request).then((outcome) => {
      ended.set(request.url ?? "", outcome);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    bodies,
    ended,
    /** Announces 1 MiB and sends so much of it; the rest with the function that is returned. */
    async send(path: string, sizeBytes: number) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(`POST ${path} HTTP/1.1\r\nhost: g\r\ncontent-length: 1048576\r\n\r\n`);
      const before = bodies.heldBytes;
      socket.write(Buffer.alloc(sizeBytes));
      await until(
        () => bodies.heldBytes,
        (held) => held === before + sizeBytes || ended.size > 0,
      );
      return { rest: () => socket.write(Buffer.alloc(1048576 - sizeBytes)), cut: () => socket.destroy() };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
const isEnded = (at: { ended: ReadonlyMap<string, BodyOutcome> }, path: string): Promise<BodyOutcome | undefined> =>
  until(
    () => at.ended.get(path),
    (outcome) => outcome !== undefined,
  );

it("lets the body that holds most give way when all of them take more than their budget", async () => {
  await using at = await open(1_000_000);
  await at.send("/large", 700_000);
  const small = await at.send("/small", 200_000);
  expect(at.ended.size).toBe(0);
  await at.send("/other", 200_000);
  expect(await isEnded(at, "/large")).toEqual({ kind: "no-room" });
  expect(at.bodies.heldBytes).toBe(400_000);
  small.cut();
  expect(await isEnded(at, "/small")).toEqual({ kind: "cut" });
  expect(at.bodies.heldBytes).toBe(200_000);
});

it("counts a body that is whole until it is let go of, and takes it from nobody", async () => {
  await using at = await open(1_100_000);
  const whole = await at.send("/whole", 500_000);
  whole.rest();
  const outcome = await isEnded(at, "/whole");
  expect(at.bodies.heldBytes).toBe(1_048_576);
  await at.send("/next", 200_000);
  expect(await isEnded(at, "/next")).toEqual({ kind: "no-room" });
  if (outcome?.kind !== "whole") throw new Error("not whole");
  expect(outcome.bytes.byteLength).toBe(1_048_576);
  outcome.release();
  outcome.release();
  expect(at.bodies.heldBytes).toBe(0);
});
