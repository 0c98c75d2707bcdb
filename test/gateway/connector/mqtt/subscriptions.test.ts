import { expect, it } from "vitest";
import { SubscriptionMemory } from "../../../../gateway/connector/mqtt/subscriptions.ts";
import { smallDisk } from "../../../support/small-disk.ts";

it.skipIf(process.getuid?.() !== 0)("asks a full disk for no room to remember what it remembers already", () => {
  using disk = smallDisk(4);
  const memory = new SubscriptionMemory(disk.path);
  memory.write(["wms/b", "wms/a"]);
  disk.fill(0);
  memory.write(new Set(["wms/a", "wms/b"]));
  expect(() => memory.write(["wms/c"])).toThrow("ENOSPC");
  expect(memory.read()).toEqual(["wms/a", "wms/b"]);
});
