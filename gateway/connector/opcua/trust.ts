import { createHash } from "node:crypto";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { type StatusCode, StatusCodes } from "node-opcua-client";

type Verdict = (error: Error | null, status?: StatusCode) => void;

/**
 * Our certificate and key, and which server certificates we trust: those whose SHA-1 thumbprint a person put into the configuration, and no
 * others. A pinned certificate is trusted as it is, also past its date: machines outlive their certificates, and the pin says more than a date.
 */
export class PinnedCertificates extends OPCUACertificateManager {
  readonly #pinned: ReadonlySet<string>;
  #refused: string | undefined;

  constructor(folder: string, thumbprints: readonly string[]) {
    super({ rootFolder: folder, automaticallyAcceptUnknownCertificate: false, disableFileWatchers: true });
    this.#pinned = new Set(thumbprints.map((thumbprint) => thumbprint.toLowerCase()));
  }

  /** Thumbprint of the certificate that was refused last; cleared by reading. */
  takeRefused(): string | undefined {
    const refused = this.#refused;
    this.#refused = undefined;
    return refused;
  }

  override checkCertificate(certificate: Buffer | Buffer[]): Promise<StatusCode>;
  override checkCertificate(certificate: Buffer | Buffer[], callback: Verdict): void;
  override checkCertificate(certificate: Buffer | Buffer[], callback?: Verdict): Promise<StatusCode> | undefined {
    const status = this.#judge(certificate);
    if (!callback) return Promise.resolve(status);
    callback(null, status);
    return undefined;
  }

  #judge(certificate: Buffer | Buffer[]): StatusCode {
    const thumbprint = thumbprintOf(leafOf(certificate));
    if (this.#pinned.has(thumbprint)) return StatusCodes.Good;
    this.#refused = thumbprint;
    return StatusCodes.BadCertificateUntrusted;
  }
}

export function thumbprintOf(certificate: Buffer): string {
  return createHash("sha1").update(certificate).digest("hex");
}

/** A chain comes as a list, or as one buffer of concatenated DER certificates with the server's own first. */
function leafOf(certificate: Buffer | Buffer[]): Buffer {
  const chain = Array.isArray(certificate) ? (certificate[0] ?? Buffer.alloc(0)) : certificate;
  // DER: SEQUENCE tag, then a length in the long form of two bytes, as every certificate of 256 bytes to 64 KiB has
  if (chain.length < 4 || chain[0] !== 0x30 || chain[1] !== 0x82) return chain;
  return chain.subarray(0, 4 + chain.readUInt16BE(2));
}
