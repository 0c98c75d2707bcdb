import { type Ended, must, run } from "../programs.ts";

/** What `podman inspect` says of a container that matters here. */
export interface ContainerView {
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly Pid: number };
  readonly RestartCount: number;
  readonly HostConfig: { readonly ReadonlyRootfs: boolean; readonly Memory: number; readonly SecurityOpt: readonly string[] };
}

/** @throws Error with what it said, unless it ended well; @returns what it printed */
export async function podman(...args: string[]): Promise<string> {
  return (await must(["podman", ...args])).trim();
}

export function tryPodman(...args: string[]): Promise<Ended> {
  return run(["podman", ...args]);
}

export async function inspect(name: string): Promise<ContainerView> {
  const [view] = JSON.parse(await podman("container", "inspect", name)) as [ContainerView];
  return view;
}

/** Where a volume's files lie. */
export function volumeFolder(name: string): Promise<string> {
  return podman("volume", "inspect", "--format", "{{.Mountpoint}}", name);
}
