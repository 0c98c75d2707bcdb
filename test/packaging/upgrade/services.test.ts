import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { layoutOf } from "../../../packaging/upgrade/layout.ts";
import { machineServices } from "../../../packaging/upgrade/services.ts";
import { temporaryFolder } from "../../support/folder.ts";

const path = process.env.PATH;

afterEach(() => {
  process.env.PATH = path;
});

/** A systemd whose restart fails, and what it says of the unit then; without that it does not answer any more. */
function failingSystemd(folder: string, shown?: string): void {
  const program = join(folder, "systemctl");
  const show = shown === undefined ? "echo 'Failed to connect to bus' >&2; exit 1" : `printf "${shown}"`;
  writeFileSync(
    program,
    `#!/bin/sh\ncase $1 in reset-failed) ;; restart) echo 'Job canceled.' >&2; exit 1;; show) ${show};; esac\n`,
  );
  chmodSync(program, 0o755);
  process.env.PATH = `${folder}:${path}`;
}

const unit = "plantgate-gateway.service";
const restart = (): Promise<void> => machineServices(layoutOf("gateway")).restart(unit);

it.each([
  "ActiveState=activating\\nResult=exit-code\\nNRestarts=0\\n",
  "ActiveState=activating\\nResult=success\\nNRestarts=1\\n",
  "ActiveState=failed\\nResult=timeout\\nNRestarts=0\\n",
])("says that a unit did not become ready where it failed: %s", async (shown) => {
  using folder = temporaryFolder();
  failingSystemd(folder.path, shown);
  await expect(restart()).rejects.toMatchObject({ code: "PEER_UNREACHABLE", message: expect.stringContaining(unit) });
});

it.each(["inactive", "deactivating", "activating", "active\\nInvocationID=$(date +%s%N)"])(
  "holds a restart that was cancelled against nobody: %s",
  async (active) => {
    using folder = temporaryFolder();
    failingSystemd(folder.path, `ActiveState=${active}\\nResult=success\\nNRestarts=0\\n`);
    await restart();
  },
);

it("says so where a unit runs on as before: it is masked, or somebody guards it", async () => {
  using folder = temporaryFolder();
  failingSystemd(folder.path, "ActiveState=active\\nInvocationID=one\\nResult=success\\nNRestarts=0\\n");
  await expect(restart()).rejects.toMatchObject({ code: "PEER_REFUSED", message: `${unit} was not restarted` });
});

it("does not know where systemd is gone", async () => {
  using folder = temporaryFolder();
  failingSystemd(folder.path);
  await expect(restart()).rejects.toMatchObject({ code: "PEER_REFUSED" });
});
