import { readFileSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Command } from "commander";
import { makeCode, moveRequest, type Recipient, requestFingerprint } from "../../gateway/move/header.ts";
import { moveIn, requestMove } from "../../gateway/move/move-in.ts";
import { type Moved, type MoveProgress, moveOut, requireMovedOut, undoMoveOut } from "../../gateway/move/move-out.ts";
import { PlantgateError, parseJson, systemClock } from "../../protocol/index.ts";
import { spoken } from "./enroll.ts";
import { asOwner, installed, placeHere, requireOpen } from "./installed.ts";
import { ask } from "./prompt.ts";

interface OutFlags {
  readonly out?: string;
  readonly to?: string;
  readonly undo?: boolean;
}
interface InFlags {
  readonly request?: string;
  readonly codeFile?: string;
}

/** `gateway move-out`, `gateway move-in`: a gateway with its whole queue goes to new hardware (packaging/docs/moving.md). */
export function addMoveCommands(gateway: Command): void {
  gateway
    .command("move-out")
    .description("Move a stopped gateway, its queue and keys, out of this machine into one sealed file.")
    .option("--out <file>", "the file to write, such as on a stick")
    .option("--to <file>", "the new machine's request: only it can open the file. Without one, a code is shown that opens it")
    .option("--undo", "the file was taken in nowhere: this gateway is to run here again")
    .addHelpText(
      "after",
      "\n--data <folder>: the gateway's folder (default: that of the installed gateway). It does not start there any more as soon as this began." +
        "\nOn the new machine: plantgate gateway move-in FILE --data FOLDER, or first plantgate gateway move-in --request FILE --data FOLDER.",
    )
    .action(async (flags: OutFlags, command: Command) => {
      const dataDir = dataOf(command);
      if (flags.undo) return undo(dataDir);
      if (flags.out === undefined) throw new PlantgateError("USAGE", "say where to: --out FILE");
      await out(dataDir, flags.out, flags.to);
    });
  gateway
    .command("move-in")
    .description("Take in a gateway that was moved out of other hardware; or, with --request, ask for it first.")
    .argument("[file]", "as plantgate gateway move-out wrote it")
    .option("--request <file>", "write a request there: what is moved out to it can be opened on this machine only")
    .option("--code-file <file>", "the code that move-out showed, in a file; else it is asked for")
    .addHelpText("after", "\n--data <folder>: an empty folder (default: that of the installed gateway).")
    .action(async (file: string | undefined, flags: InFlags, command: Command) => {
      const dataDir = dataOf(command);
      if ((file === undefined) === (flags.request === undefined))
        throw new PlantgateError("USAGE", "give the file to take in, or --request FILE to ask for one");
      if (flags.request !== undefined) return request(dataDir, flags.request);
      await takeIn(dataDir, file as string, flags.codeFile);
    });
}

/** `--data` is an option of the command above, which takes it wherever it stands. */
function dataOf(command: Command): string {
  const { data } = command.optsWithGlobals() as { data?: string };
  const folder = data ?? installed("gateway")?.dataDir;
  if (folder === undefined) throw new PlantgateError("USAGE", "say where the gateway's data is: --data FOLDER");
  requireOpen(folder);
  return folder;
}

async function out(dataDir: string, file: string, to: string | undefined): Promise<void> {
  const code = to === undefined ? makeCode() : undefined;
  const recipient: Recipient = code === undefined ? { kind: "key", request: readRequest(to as string) } : { kind: "code", code };
  // as whoever calls: the folder's owner may not write to a stick
  const { output, isNew } = await openOutput(file);
  try {
    const moved = await stopped(dataDir, () =>
      asOwner(dataDir, [], () =>
        moveOut({ dataDir, file, output, to: recipient }, { clock: systemClock, tell: percent("read") }),
      ),
    );
    process.stdout.write(`${moved.site}: moved out to ${file}, ${summary(moved)}\n`);
    process.stderr.write(
      `The gateway does not start in ${dataDir} any more. Its key, to be compared on the new machine:\n\n${spoken(moved.fingerprint)}\n\n${
        recipient.kind === "key"
          ? `Only the machine whose request has this fingerprint opens the file:\n\n${spoken(requestFingerprint(recipient.request))}\n\n`
          : `The file opens with this code. It is shown once; keep it apart from the file:\n\n  ${grouped(recipient.code)}\n\n`
      }There: plantgate gateway move-in ${file} --data FOLDER\n`,
    );
    warnOfSecrets(dataDir);
  } catch (error) {
    if (isNew && (await output.stat()).size === 0) await removeQuietly(file);
    throw error;
  } finally {
    await output.close();
  }
}

/** A file that is there is written over only where it is what an earlier try left. */
async function openOutput(file: string): Promise<{ output: FileHandle; isNew: boolean }> {
  try {
    return { output: await open(file, "wx", 0o600), isNew: true };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
  }
  const output = await open(file, "r+");
  const start = Buffer.alloc(14);
  const { bytesRead } = await output.read(start, 0, start.length, 0);
  if (bytesRead === 0 || start.toString("latin1", 0, bytesRead) === "plantgate-move") return { output, isNew: false };
  await output.close();
  throw new PlantgateError("USAGE", `${file} is there already, and is something else: give another name`);
}

async function removeQuietly(file: string): Promise<void> {
  const { rm } = await import("node:fs/promises");
  await rm(file, { force: true }).catch(() => {});
}

async function undo(dataDir: string): Promise<void> {
  const mark = requireMovedOut(dataDir);
  const [site, where] = mark === "unreadable" ? ["yes", ""] : [mark.site, `, on ${mark.at} to ${mark.file}`];
  process.stderr.write(
    `This gateway was moved out${where}. If that file was taken in anywhere, two gateways run as one from now on: each delivers what waits, so machines and\n` +
      "systems get it twice, and central takes the messages of one of them only. Go on only where the file was not used, and destroy it.\n",
  );
  const said = await ask(`Type "${site}" to have it run here again: `);
  if (said !== site) throw new PlantgateError("USAGE", "nothing was changed");
  await stopped(dataDir, () => asOwner(dataDir, [], async () => undoMoveOut(dataDir)));
  process.stdout.write(`${site}: the gateway in ${dataDir} runs here again; start it\n`);
}

async function request(dataDir: string, file: string): Promise<void> {
  const made = await stopped(dataDir, () => asOwner(dataDir, [], async () => requestMove(dataDir)));
  writeFileSync(file, `${JSON.stringify(made.request, null, 2)}\n`);
  process.stdout.write(`${made.fingerprint}\n`);
  process.stderr.write(
    `Fingerprint of this request, to be compared when the gateway is moved out:\n\n${spoken(made.fingerprint)}\n\n` +
      `On the old machine: plantgate gateway move-out --data FOLDER --to ${file} --out OUT\nThen here: plantgate gateway move-in OUT --data ${dataDir}\n`,
  );
}

async function takeIn(dataDir: string, file: string, codeFile: string | undefined): Promise<void> {
  const input = await open(file, "r");
  const code =
    codeFile === undefined ? () => ask("The code that move-out showed: ") : async () => readFileSync(codeFile, "utf8").trim();
  try {
    const { kind, site, fingerprint } = await stopped(dataDir, () =>
      asOwner(dataDir, [], () => moveIn({ dataDir, input, code }, { clock: systemClock, tell: percent("written") })),
    );
    if (kind === "again") {
      process.stdout.write(`${site}: this file was moved in here before; nothing was changed\n`);
      return;
    }
    process.stdout.write(`${site}: moved in to ${dataDir}\n`);
    process.stderr.write(
      `The gateway's key: it has to be the one that move-out showed, and plantgate site keys ${site} shows at central.\n\n${spoken(fingerprint)}\n\n` +
        `Start it with: ${startCommand(dataDir)}\n` +
        "As soon as it reaches central it changes its key, and the old machine's copy is refused. Until then: never start the old one.\n",
    );
  } finally {
    await input.close();
  }
}

/** A folder that is in use says how to free it. */
async function stopped<Value>(dataDir: string, run: () => Promise<Value>): Promise<Value> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof PlantgateError) || error.code !== "DATA_FOLDER_LOCKED") throw error;
    const how = placeHere("gateway", dataDir)?.stop ?? "end its process with SIGTERM";
    throw new PlantgateError("DATA_FOLDER_LOCKED", `a gateway runs on the data folder ${dataDir}; stop it first: ${how}`);
  }
}

function startCommand(dataDir: string): string {
  return placeHere("gateway", dataDir)?.enable ?? `plantgate gateway --data ${dataDir}`;
}

/** What the service is handed does not lie in the folder. */
function warnOfSecrets(dataDir: string): void {
  const here = placeHere("gateway", dataDir);
  if (!here) return;
  process.stderr.write(
    `Not in the file: ${here.configFile} and the secrets beside it. Then keep this machine from starting it: ${here.disable}\n`,
  );
}

function readRequest(file: string) {
  let told: unknown;
  try {
    told = parseJson(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read as a request`, { cause });
  }
  const parsed = moveRequest.safeParse(told).data;
  if (parsed) return parsed;
  throw new PlantgateError(
    "USAGE",
    `${file} is no request of a machine: plantgate gateway move-in --request FILE writes one there`,
  );
}

/** Each tenth of the way, once. */
function percent(what: string): MoveProgress {
  let told = 0;
  return (bytes, ofBytes) => {
    const tenth = ofBytes === 0 ? 10 : Math.floor((bytes * 10) / ofBytes);
    if (tenth <= told) return;
    told = tenth;
    process.stderr.write(`${tenth * 10} % ${what}\n`);
  };
}

function summary({ files, sizeBytes }: Moved): string {
  return `${files} files, ${(sizeBytes / 1024 / 1024).toFixed(1)} MiB`;
}

function grouped(code: string): string {
  return (code.match(/.{1,5}/g) ?? []).join("-");
}
