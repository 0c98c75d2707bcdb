import { expect, it } from "vitest";
import { explain } from "./explain.ts";
import type { Machine } from "./machine.ts";
import { FailedStep } from "./steps.ts";
import { until } from "./wait.ts";

function machineOf(name: string, journal: readonly string[]): Machine {
  const sh = async (line: string) => ({
    code: 0,
    out: line.startsWith("journalctl") ? journal.join("\n") : `seen by ${line}`,
    err: "",
  });
  return { name, isOn: true, sh } as never;
}

it("ends with what the units said since the step began, its first cause among it, and the error", async () => {
  const information = Array.from({ length: 300 }, (_, n) => `{"level":30,"event":"flow.input.taken","n":${n}}`);
  const ends = Array.from(
    { length: 200 },
    (_, n) => `systemd[1]: plantgate-gateway.service: Scheduled restart job, restart counter is at ${n}`,
  );
  const plant = machineOf("plant", [...information, "node: cannot open shared object file libatomic.so.1", ...ends]);
  const failed = new FailedStep("deb: it runs", Date.now(), new Error(`expected: it is active; found: ${"x".repeat(5000)}`));
  const { message } = await explain(failed, [machineOf("control-room", information), plant]);
  const end = message.split("\n").slice(-60).join("\n");
  expect(end).toMatch(/plant, since then\nnode: cannot open shared object file/);
  expect(end).toMatch(/restart counter is at 199\n\nFAILED: deb: it runs\nexpected: it is active/);
  expect(end).not.toContain("seen by");
  expect(end.length).toBeLessThan(12_000);
});

it("waits no longer for what cannot come any more", async () => {
  const ended = Promise.resolve({ code: 1, err: "no such file" });
  await expect(
    until(
      () => "0.1.0",
      (current) => current === "0.4.0",
      ended,
    ),
  ).rejects.toThrow(/no such file.*last seen: 0\.1\.0/);
});

it("sees what came just before its source ended", async () => {
  let current = "0.1.0";
  const ended = Promise.resolve().then(() => (current = "0.4.0"));
  expect(
    await until(
      () => current,
      (version) => version === "0.4.0",
      ended,
    ),
  ).toBe("0.4.0");
});
