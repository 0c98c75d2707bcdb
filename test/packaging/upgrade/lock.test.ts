import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { lockUpgrades } from "../../../packaging/upgrade/lock.ts";
import { temporaryFolder } from "../../support/folder.ts";

const modeOf = (file: string): number => statSync(file).mode & 0o777;

it("lets one updater in at a time, and says so to the next", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "upgrade.lock");
  const unlock = lockUpgrades(file);
  expect(() => lockUpgrades(file)).toThrow(/another upgrade is under way/);
  unlock();
  lockUpgrades(file)();
});

it("says for what it waits, to whoever waits longer than a moment", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "upgrade.lock");
  const unlock = lockUpgrades(file);
  const told: string[] = [];
  expect(() => lockUpgrades(file, 2001, (line) => told.push(line))).toThrow(/another upgrade is under way/);
  expect(told).toEqual([expect.stringContaining("it is waited for")]);
  expect(() => lockUpgrades(file, 100, (line) => told.push(line))).toThrow(/another upgrade is under way/);
  expect(told).toHaveLength(1);
  unlock();
  lockUpgrades(file, 2001, (line) => told.push(line))();
  expect(told).toHaveLength(1);
});

it("is nobody else's to hold: not even whoever may read root's other files can keep an upgrade waiting", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "upgrade.lock");
  lockUpgrades(file)();
  expect(modeOf(file)).toBe(0o600);
  // as versions of before made it
  writeFileSync(file, "");
  chmodSync(file, 0o644);
  lockUpgrades(file)();
  expect(modeOf(file)).toBe(0o600);
});

it("does not speak of another upgrade where the file itself is at fault", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "upgrade.lock");
  mkdirSync(file);
  expect(() => lockUpgrades(file)).toThrow(/upgrade\.lock cannot be locked: /);
  expect(() => lockUpgrades(file)).not.toThrow(/another upgrade/);
});
