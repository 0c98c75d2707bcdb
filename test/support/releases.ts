import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { releaseLimits } from "../../protocol/index.ts";

/** Whoever makes releases. */
export const releaseKey = generateKeyPairSync("ed25519");

export interface TestPackage {
  readonly file: string;
  readonly bytes: Buffer;
  readonly size: number;
  readonly sha256: string;
  readonly signature: string;
}

/** A package that nobody could install, signed as a real one is. */
export function makePackage(file: string, size = 3000): TestPackage {
  const bytes = randomBytes(size);
  const signature = sign(null, bytes, releaseKey.privateKey).toString("base64");
  return { file, bytes, size, sha256: createHash("sha256").update(bytes).digest("hex"), signature };
}

interface Sender {
  readonly url: string;
  readonly adminToken: string;
  admin<Answer = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Answer }>;
}

export async function putChunk(
  central: Sender,
  upload: string,
  number: number,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: { detail?: string } }> {
  const answer = await fetch(`${central.url}/v1/releases/uploads/${upload}/chunks/${number}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${central.adminToken}`, "content-type": "application/octet-stream", ...headers },
    body: new Uint8Array(body),
  });
  return { status: answer.status, body: (await answer.json()) as { detail?: string } };
}

/** Sends a package as the command line does; `by`: who begins it, and so is whom it comes from. */
export async function addPackage(
  central: Sender,
  { file, bytes, size, sha256, signature }: TestPackage,
  by?: { readonly call: Sender["admin"] },
): Promise<void> {
  const call = by?.call ?? central.admin;
  const begun = await call<{ upload: string | null }>("POST", "/v1/releases/uploads", { file, size, sha256, signature });
  const { upload } = begun.body;
  if (begun.status !== 200 || !upload) throw new Error(`${file} was not begun: ${JSON.stringify(begun)}`);
  const { chunkBytes } = releaseLimits;
  for (let number = 0; number * chunkBytes < size; number++)
    await putChunk(central, upload, number, bytes.subarray(number * chunkBytes, (number + 1) * chunkBytes));
  const done = await central.admin("POST", `/v1/releases/uploads/${upload}/complete`, {});
  if (done.status !== 200) throw new Error(`${file} was not completed: ${JSON.stringify(done.body)}`);
}
