import "reflect-metadata";
import { createHash, webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  cryptoProvider,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the public key (SPKI), base64: what `--central-pin` takes. */
  readonly pin: string;
}

export interface Authority {
  /** The authority's own certificate (PEM). */
  readonly ca: string;
  /** A certificate for `localhost` and 127.0.0.1 (or other names); valid until so many days from now, which may be over. */
  issue(days?: number, options?: IssueOptions): Promise<Certificate>;
}

export interface IssueOptions {
  /** DNS names instead of `localhost`. */
  readonly names?: readonly string[];
  /** Valid since so many days, which may be yet to come (below zero). */
  readonly sinceDays?: number;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

/** A private certificate authority, in memory; good for so many days more, or over (below zero). */
export async function makeAuthority(daysLeft = 365, name = "CN=Plant CA"): Promise<Authority> {
  cryptoProvider.set(webcrypto as never);
  const keys = await newKeys();
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name,
    notBefore: new Date(Date.now() - 90 * dayMs),
    notAfter: new Date(Date.now() + daysLeft * dayMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, 1, true)],
  });
  return {
    ca: root.toString("pem"),
    async issue(days = 90, { names = ["localhost"], sinceDays = 60 } = {}) {
      const own = await newKeys();
      const issued = await X509CertificateGenerator.create({
        serialNumber: "02",
        subject: "CN=localhost",
        issuer: root.subject,
        notBefore: new Date(Date.now() - sinceDays * dayMs),
        notAfter: new Date(Date.now() + days * dayMs),
        signingKey: keys.privateKey,
        publicKey: own.publicKey,
        signingAlgorithm: algorithm,
        extensions: [
          new SubjectAlternativeNameExtension([
            ...names.map((value) => ({ type: "dns" as const, value })),
            { type: "ip", value: "127.0.0.1" },
          ]),
        ],
      });
      return { cert: issued.toString("pem"), key: await exported(own.privateKey), pin: pinOf(issued) };
    },
  };
}

async function newKeys(): Promise<CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
}

async function exported(key: CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key as never), "PRIVATE KEY");
}

function pinOf(certificate: X509Certificate): string {
  return createHash("sha256").update(new Uint8Array(certificate.publicKey.rawData)).digest("base64");
}
