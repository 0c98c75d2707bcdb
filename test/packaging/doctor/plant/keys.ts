import { generateKeyPairSync } from "node:crypto";

/** What central keeps in `signing-key.json`. */
export function makeKeyFile(): string {
  return JSON.stringify(generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }));
}
