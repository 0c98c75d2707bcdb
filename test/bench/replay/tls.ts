import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { requireService } from "../../support/services.ts";

export interface Certificate {
  /** Self-signed: it is its own authority. */
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A certificate for 127.0.0.1 with an elliptic key, as a private authority would issue it. */
export async function makeCertificate(folder: string): Promise<Certificate> {
  const openssl = await requireService("openssl");
  if (!openssl) throw new Error("openssl is missing");
  const [certificateFile, keyFile] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  await promisify(execFile)(openssl, [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
    ...["-keyout", keyFile, "-out", certificateFile],
  ]);
  return { certificateFile, keyFile };
}
