import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../gateway/version.ts";
import { project } from "../../packaging/package/workspace.ts";
import { requireService } from "../support/services.ts";
import { tellStory } from "./story.ts";

const archive = join(project, `out/packages/plantgate-${version}-windows-x64.tar.gz`);
const folder = join(project, `node_modules/.cache/plantgate/runs/${process.pid}-windows`);
process.exitCode = await run();

async function run(): Promise<number> {
  if ((await requireService("wine64")) === undefined) return process.env.REQUIRE_SERVICES === "1" ? 1 : 0;
  if (!existsSync(archive)) {
    process.stderr.write(`${archive} is not there: run "npm run package -- --platform windows-x64" first\n`);
    return 1;
  }
  mkdirSync(folder, { recursive: true });
  try {
    await tellStory(folder, archive);
    return 0;
  } catch (error) {
    process.stderr.write(`\n${error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
