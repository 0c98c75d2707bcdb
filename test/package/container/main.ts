import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { attempt } from "../attempt.ts";
import { path, run } from "../programs.ts";
import { keepRoot } from "../root.ts";
import { postgresPackages } from "./images.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

process.exitCode = await attempt("container", tryImages, missingPrograms);

/** Makes the image and runs it in podman, as packaging/container/README.md says, alone and by its compose file. */
async function tryImages(folder: string): Promise<void> {
  const tell = (what: string): void => void process.stdout.write(`${what}\n`);
  await keepRoot(tell);
  await keepRoot(tell, undefined, postgresPackages);
  mkdirSync(folder, { recursive: true });
  const alone = ["--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
  const story = [process.execPath, here("story-child.ts"), folder];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", ...alone, "sh", here("enter.sh"), folder, ...story], {
    stdio: "inherit",
    env: { ...process.env, PATH: path },
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error("the story of the images failed");
}

async function missingPrograms(): Promise<string[]> {
  const lacks: string[] = [];
  for (const name of ["podman", "podman-compose"])
    if ((await run(["sh", "-c", `command -v ${name}`])).code !== 0)
      lacks.push(
        `${name} is missing; install it with: apt-get install -y --no-install-recommends podman crun podman-compose netavark aardvark-dns iptables`,
      );
  return lacks.slice(0, 1);
}
