import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeAuthority } from "../../support/certificates.ts";

/** Files for a server on 127.0.0.1 and for those who trust its authority. */
export interface TlsFiles {
  readonly authorityFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export async function makeTlsFiles(folder: string): Promise<TlsFiles> {
  const authority = await makeAuthority();
  const { cert, key } = await authority.issue();
  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  return {
    authorityFile: write("authority.crt", authority.ca),
    certificateFile: write("server.crt", cert),
    keyFile: write("server.key", key),
  };
}
