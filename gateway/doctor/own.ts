import { existsSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { type Finding, fault, ok, stopping, unchecked, warning } from "../../protocol/index.ts";
import { readMovedOut } from "../move/marks.ts";
import type { Facts } from "./facts.ts";

/** Checks of what lies in the data folder, but for the queue. */

export async function checkSettings(facts: Facts): Promise<Finding[]> {
  const findings = await judgeSettings(facts);
  const { passedOver } = facts.place;
  return passedOver ? [passedOver, ...findings.filter(({ level }) => level !== "ok")] : findings;
}

async function judgeSettings(facts: Facts): Promise<Finding[]> {
  const settings = await facts.settings();
  const { dataDir, said } = facts.place;
  if (said && !said.known) return [said.denied ? unchecked(said.why) : stopping(said.why, "Restore the file, or correct it")];
  if (!settings.known && settings.denied) return [unchecked(settings.why)];
  if (settings.known && lostEnrollment(dataDir, said?.known ? said.value : {}))
    return [
      stopping(
        `${join(dataDir, "gateway.json")} is missing, which enrollment wrote: the gateway does not start again without it`,
        "Restore it, or enroll the gateway again",
      ),
    ];
  if (settings.known) return [ok(`site ${settings.value.site}, central ${settings.value.centralUrl}`)];
  if (readMovedOut(dataDir) !== undefined)
    return [
      warning(
        settings.why,
        "Nothing has to run here any more: uninstall it, or purge it once the gateway runs on its new hardware",
      ),
    ];
  const lost = existsSync(join(dataDir, "identity", "central-keys.json")) || existsSync(join(dataDir, "queue.sqlite"));
  if (settings.why === "this gateway is not enrolled")
    return [
      stopping(
        lost ? `${join(dataDir, "gateway.json")} is missing, which enrollment wrote` : settings.why,
        "plantgate enroll --central URL --token T, with a token as plantgate site token NAME prints it at central",
      ),
    ];
  const files = [facts.place.configFile, join(dataDir, "gateway.json")].filter((file) => file !== undefined && existsSync(file));
  return [stopping(settings.why, `Correct it in ${files.join(" or ")}; plantgate gateway --help names what there is`)];
}

/** Enrolled, as central's key is pinned; and nothing that would be there at a start names site and central. */
function lostEnrollment(dataDir: string, said: Readonly<Record<string, unknown>>): boolean {
  if (existsSync(join(dataDir, "gateway.json")) || (said.site !== undefined && said.centralUrl !== undefined)) return false;
  return existsSync(join(dataDir, "identity", "central-keys.json"));
}

export async function checkIdentity(facts: Facts): Promise<Finding[]> {
  const settings = await facts.settings();
  if (!settings.known) return [unchecked(settings.why)];
  const [keys, centralKeys] = await Promise.all([facts.keys(), facts.centralKeys()]);
  const findings: Finding[] = [];
  const again = "Restore the folder identity from a copy, or enroll the gateway again";
  const folder = join(facts.place.dataDir, "identity");
  if (!existsSync(folder)) return [stopping(`${folder} is missing: the gateway's key, and central's`, again)];
  for (const each of [keys, centralKeys])
    if (!each.known) findings.push(each.denied ? unchecked(each.why) : stopping(each.why, again));
  return findings.length > 0 || !keys.known ? findings : [ok(`key ${keys.value[0]?.fingerprint.slice(0, 16)}…`)];
}

const refetch = "Restart the gateway while central is reached: it fetches it anew. Without a link: plantgate bundle import FILE";

export async function checkConfiguration(facts: Facts): Promise<Finding[]> {
  const [settings, centralKeys] = await Promise.all([facts.settings(), facts.centralKeys()]);
  if (!settings.known) return [unchecked(settings.why)];
  if (!centralKeys.known) return [unchecked(centralKeys.why)];
  const configuration = await facts.configuration();
  if (!configuration.known && configuration.denied) return [unchecked(configuration.why)];
  if (!configuration.known && (await facts.central()).isAnother)
    return [unchecked("its signature cannot be judged by the key that is pinned here, which is not central's")];
  const other = configuration.known ? undefined : (await facts.bundle())?.site;
  if (other !== undefined && other !== settings.value.site) {
    const seen = `the configuration on disk is for site ${other}, and the settings say ${settings.value.site}`;
    // who is a stranger to central is told so there
    if ((await facts.central()).isStranger) return [unchecked(seen)];
    return [fault(seen, "Correct the site in gateway.json or in the settings' file; each site has a folder of its own")];
  }
  if (!configuration.known && (await facts.isPinnedAnother()))
    return [
      fault(
        "the configuration on disk is signed by a central whose key is not the one that is pinned here (identity/central-keys.json)",
        "Restore that file from a copy if it was changed; if central was set up anew, enroll this gateway again",
      ),
    ];
  if (!configuration.known) return [fault(`the configuration on disk does not serve: ${configuration.why}`, refetch)];
  const { bundle, state } = configuration.value;
  const running = await facts.running();
  const reported = running.kind === "running" ? (running.status?.configuration?.reported ?? 0) : 0;
  // the disk is written first, so that it is never behind what runs
  if (reported > (bundle?.revision ?? 0))
    return [
      fault(
        `revision ${reported} runs, and ${join(facts.place.dataDir, "agent.db")} holds ${bundle ? `only revision ${bundle.revision}` : "none"}: the next start falls back to that`,
        refetch,
      ),
    ];
  if (!bundle) return [ok("central has sent none yet")];
  if (state.refused)
    return [
      warning(
        `revision ${bundle.revision} runs; revision ${state.refused.revision} was ${state.refused.how === "refused" ? "refused" : "taken back"}: ${state.refused.reason}`,
        "Correct it at central and push again",
      ),
    ];
  return [ok(`revision ${bundle.revision}`)];
}

export async function checkSecrets(facts: Facts): Promise<Finding[]> {
  const [secrets, configuration] = await Promise.all([facts.secrets(), facts.configuration()]);
  if (!secrets.known) return [unchecked(secrets.why)];
  const { values, damaged } = secrets.value;
  const findings: Finding[] = [];
  if (damaged !== undefined && (await facts.isPinnedAnother()))
    findings.push(unchecked("their signature cannot be judged by the key that is pinned here, which is not central's"));
  else if (damaged !== undefined)
    findings.push(
      fault(
        `the secrets that central sent cannot be read: ${damaged}`,
        "Restart the gateway while central is reached: it fetches them anew",
        "secrets.sealed",
      ),
    );
  if (!configuration.known && !(await facts.bundle()))
    return [...findings, unchecked(`which ones are needed: ${configuration.why}`)];
  for (const [name, value] of values) {
    if (value?.[0] === "") findings.push(fault("it is empty", whereToPut(facts.place.dataDir, name), name));
    else if (value !== undefined) findings.push(ok("is there", name));
    else if (isFolder(join(facts.place.dataDir, "secrets", name)))
      findings.push(fault("a folder lies in the place of its file", whereToPut(facts.place.dataDir, name), name));
    else if (existsSync(join(facts.place.dataDir, "secrets", name)))
      findings.push(unchecked("its file cannot be read by the gateway's user: a matter of permissions", name));
    else if (damaged === undefined)
      findings.push(fault("the configuration names it, and it is missing", whereToPut(facts.place.dataDir, name), name));
  }
  return findings.length > 0 ? findings : [ok("the configuration names none")];
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function whereToPut(dataDir: string, name: string): string {
  return `plantgate secret set ${name} at central, or a file ${name} in /etc/plantgate/secrets (then restart the service) or in ${join(dataDir, "secrets")}`;
}
