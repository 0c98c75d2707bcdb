import { expect, it } from "vitest";
import { RunningTime, systemKernelTime } from "../../../gateway/queue/running-time.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { delivery, openStore, TestKernel } from "../../support/queue-store.ts";

it("goes on while the machine runs, also while the gateway does not", () => {
  const kernel = new TestKernel("boot-1", 5000);
  const first = new RunningTime(kernel, undefined, 0);
  const mark = first.mark();
  kernel.uptime += 60_000;
  const second = new RunningTime(kernel, mark, mark.runMs);
  expect(second.now() - mark.runMs).toBe(60_000);
  expect(second.ageMs(mark.runMs)).toBe(60_000);
});

it("stands still while the machine is off, and says that what is older waited through that", () => {
  const before = new RunningTime(new TestKernel("boot-1", 5000), undefined, 0);
  const { runMs } = before.mark();
  const after = new RunningTime(new TestKernel("boot-2", 100), undefined, runMs + 1);
  expect(after.now()).toBe(runMs + 1);
  expect(after.ageMs(runMs)).toBeUndefined();
  expect(after.ageMs(after.now())).toBe(0);
});

it("tells the age of a delivery across a restart of the gateway, and not across one of the machine", () => {
  using folder = temporaryFolder();
  const kernel = new TestKernel("boot-1", 1000);
  const first = openStore(folder.path, { kernel });
  first.commit([{ newDeliveries: [delivery()] }]);
  kernel.uptime += 40_000;
  expect(first.deliveryHeads("wms", 1)[0]!.ageMs).toBe(40_000);
  first.close();
  kernel.uptime += 20_000;
  const second = openStore(folder.path, { kernel });
  expect(second.deliveryHeads("wms", 1)[0]!.ageMs).toBe(60_000);
  second.close();
  const third = openStore(folder.path, { kernel: new TestKernel("boot-2", 10) });
  expect(third.deliveryHeads("wms", 1)[0]!.ageMs).toBeUndefined();
  third.close();
});

it("reads this machine's own time, which only rises", () => {
  const kernel = systemKernelTime();
  const first = kernel.uptimeMs();
  expect(first).toBeGreaterThan(0);
  expect(kernel.uptimeMs()).toBeGreaterThanOrEqual(first);
  expect(kernel.boot).toMatch(/^[0-9a-f-]{36}$/);
});
