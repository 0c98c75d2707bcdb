import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { CompactSign } from "jose";
import { expect, it } from "vitest";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { digestOf } from "../../../gateway/agent/signed-bundle.ts";
import { kidOf } from "../../../gateway/identity/central-keys.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { type Bundle, renderSite } from "../../../protocol/index.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { look, said } from "./place.ts";

const hourMs = 3_600_000;

interface Signer {
  readonly privateKey: KeyObject;
  readonly publicKey: string;
  readonly kid: string;
}

function makeSigner(): Signer {
  const pair = generateKeyPairSync("ed25519");
  const publicKey = pair.publicKey.export({ type: "spki", format: "pem" });
  return { privateKey: pair.privateKey, publicKey, kid: kidOf(publicKey) };
}

async function smallBundle(): Promise<Bundle> {
  const built = await renderSite({ files: siteDocuments({ site: "lyon" }), site: "lyon", revision: 1 });
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return built.bundle;
}

/** A gateway that was enrolled at one central, with what that one sent; `pinned` is the key that lies there now. */
async function openFolder(centralUrl: string, { by, pinned }: { readonly by: Signer; readonly pinned: Signer }) {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  writeFileSync(at("gateway.json"), JSON.stringify({ site: "lyon", centralUrl, centralCa: "central-ca.pem" }), { mode: 0o600 });
  mkdirSync(at("identity"), { mode: 0o700 });
  const keys = [{ kid: pinned.kid, publicKey: pinned.publicKey }];
  Identity.open(folder.path);
  writeFileSync(at("identity/central-keys.json"), JSON.stringify({ keys }));
  const documents = await AgentDocuments.open(at("agent.db"));
  const payload = Buffer.from(JSON.stringify(await smallBundle()));
  const jws = await new CompactSign(payload).setProtectedHeader({ alg: "EdDSA", kid: by.kid }).sign(by.privateKey);
  const revision = { revision: 1, digest: digestOf(jws) };
  await documents.saveBundle(revision, jws);
  await documents.saveState({ desired: revision, good: revision });
  // signed by nobody that is known here
  writeFileSync(
    at("secrets.sealed"),
    await new CompactSign(payload).setProtectedHeader({ alg: "EdDSA", kid: by.kid }).sign(by.privateKey),
  );
  return folder;
}

const isWrong = (line: string): boolean => /^(fault|warning)/.test(line);
const asked = (dataDir: string) => look(["central", "configuration", "secrets"], { place: { dataDir } });

it("names a pinned key that is another central's while by this machine's clock no certificate is good, and once", async () => {
  const [theirs, another] = [makeSigner(), makeSigner()];
  const authority = await makeAuthority();
  const certificate = await authority.issue(-1);
  const paths: string[] = [];
  const server = createServer(certificate, ({ url = "", headers }, response) => {
    paths.push(`${url}${headers.authorization === undefined ? "" : " with a token"}`);
    // by its time, two days ago, its certificate is good
    response.setHeader("date", new Date(Date.now() - 48 * hourMs).toUTCString());
    response.end(
      JSON.stringify(
        url === "/health"
          ? { status: "up", incarnation: "one" }
          : { keys: [{ kid: theirs.kid, publicKey: theirs.publicKey, statement: "" }] },
      ),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  using folder = await openFolder(url, { by: theirs, pinned: another });
  writeFileSync(join(folder.path, "central-ca.pem"), authority.ca);
  const findings = said(await asked(folder.path));
  server.closeAllConnections();
  server.close();
  expect(findings.filter(isWrong)).toEqual([
    expect.stringMatching(/^fault\|central\|\|its signing key is not the one that is pinned here: /),
  ]);
  expect(paths).toEqual(["/health", "/v1/signing-keys"]);
});

it("says what to do where a pinned key is another central's, and central is away: once, and that no restart mends it", async () => {
  const [theirs, another] = [makeSigner(), makeSigner()];
  using folder = await openFolder("https://127.0.0.1:1", { by: theirs, pinned: another });
  writeFileSync(join(folder.path, "central-ca.pem"), (await makeAuthority()).ca);
  const findings = await asked(folder.path);
  expect(said(findings).filter(isWrong)).toEqual([
    expect.stringMatching(/^fault\|central\|\|.* is not reached/),
    expect.stringMatching(/^fault\|configuration\|\|the configuration on disk is signed by a central whose key is not the one/),
  ]);
  expect(findings.find(({ check }) => check === "configuration")?.advice).toMatch(
    /^Restore that file.*enroll this gateway again$/,
  );
});
