import { basename } from "node:path";
import type { Machine } from "./machine.ts";
import type { Ended } from "./programs.ts";
import type { Kind, Releases, Role, Version } from "./releases.ts";

/** How a machine comes to Plantgate and is rid of it: the Debian package's way and the archive's. */
export interface Way {
  readonly kind: Kind;
  /** Puts a version's file and signature on the machine. @returns where */
  bring(which: Version): string;
  /** What an administrator types who has the file there. */
  install(file: string): Promise<Ended>;
  /** Takes the program away, and nothing that it keeps. */
  remove(): Promise<Ended>;
  /** Takes away what it keeps as well, with nobody there to answer; `consent` was given before. */
  purge(consent: boolean): Promise<Ended>;
}

const place = "root/packages";

export function wayOf(kind: Kind, machine: Machine, releases: Releases, role: Role = "gateway"): Way {
  const bring = (which: Version): string => bringFile(machine, releases.file(kind, which, role));
  return kind === "deb" ? debianWay(machine, role, bring) : archiveWay(machine, role, bring);
}

/** With its signature, where there is one. */
export function bringFile(machine: Machine, file: string, signed = true): string {
  const name = `${place}/${basename(file)}`;
  machine.copyIn(file, name);
  if (signed) machine.copyIn(`${file}.sig`, `${name}.sig`);
  return `/${name}`;
}

function debianWay(machine: Machine, role: Role, bring: Way["bring"]): Way {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const name = `plantgate-${role}`;
  return {
    kind: "deb",
    bring,
    install: (file) => machine.run(["dpkg", "-i", file], { env }),
    remove: () => machine.run(["dpkg", "-r", name], { env }),
    async purge(consent) {
      if (consent)
        await machine.must(["debconf-set-selections"], {
          input: `${name} ${name}/purge-data boolean true\n`,
        });
      return machine.run(["dpkg", "-P", name], { env });
    },
  };
}

function archiveWay(machine: Machine, role: Role, bring: Way["bring"]): Way {
  const uninstaller = "/root/uninstall.sh";
  return {
    kind: "tar",
    bring,
    install: (file) =>
      machine.sh(
        `rm -rf /root/unpacked && mkdir /root/unpacked && tar -xzf ${file} -C /root/unpacked --strip-components=1 && /root/unpacked/install.sh ${role}`,
      ),
    async remove() {
      // it takes itself away, too
      await machine.must(["cp", `/opt/plantgate/${role}/current/install/uninstall.sh`, uninstaller]);
      return machine.run([uninstaller, role]);
    },
    purge: (consent) => machine.run([uninstaller, role, "--purge", ...(consent ? ["--delete-waiting"] : [])]),
  };
}
