import { fileURLToPath } from "node:url";
import { version } from "../../../gateway/version.ts";
import { project } from "../../../packaging/package/workspace.ts";
import { must } from "../programs.ts";
import { rootFile } from "../root.ts";
import { podman } from "./podman.ts";

export const image = `plantgate:${version}`;
export const postgresPackages = ["postgresql"] as const;

/** What the Containerfile and compose.yaml take from a registry is made here, of Debian's packages. */
export async function makeBases(): Promise<void> {
  await podman("import", "--quiet", rootFile(), "docker.io/library/debian:12-slim");
  await podman("import", "--quiet", rootFile(undefined, postgresPackages), "localhost/debian-postgresql");
  await podman("build", "--quiet", "--tag", "docker.io/library/postgres:17", fileURLToPath(new URL("postgres", import.meta.url)));
}

/** As packaging/container/README.md says it. */
export async function makeImage(): Promise<void> {
  const platform = process.arch === "arm64" ? ["--build-arg", "PLATFORM=linux-arm64"] : [];
  const command = ["podman", "build", "--format", "docker", "-f", "packaging/container/Containerfile"];
  await must([...command, "--build-arg", `VERSION=${version}`, ...platform, "-t", image, "out/packages"], { cwd: project });
}
