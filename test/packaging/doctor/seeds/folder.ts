import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { serviceUid } from "../plant/root.ts";
import { adding, changing, inData, keep, mode, owner, putBack, remove, replace, type Seed } from "./seed.ts";

const permission = (
  name: string,
  kind: string,
  path: string,
  change: (file: string) => void,
  says: RegExp,
  more: Partial<Seed> = {},
): Seed => ({
  name,
  named: "fault permissions",
  says,
  takes: [`permissions: ${kind}`, path],
  ...changing(inData(path), change),
  ...more,
});

/** Owners, modes, and what lies in the data folder. */
export const folderSeeds: readonly Seed[] = [
  permission(
    "a secret is readable by all",
    "open file",
    "secrets/scheduler",
    mode(0o644),
    /readable by others: secrets\/scheduler.*chmod 0600/,
  ),
  permission(
    "the gateway's key is readable by all",
    "open file",
    "identity/gateway.key",
    mode(0o644),
    /readable by others: identity\/gateway\.key/,
  ),
  permission(
    "what enrollment wrote is readable by all",
    "open file",
    "gateway.json",
    mode(0o644),
    /readable by others: gateway\.json/,
  ),
  permission("the local token is readable by all", "open file", "local.json", mode(0o644), /readable by others: local\.json/),
  permission("the folder is open", "folder", "", mode(0o755), /others may enter/),
  permission("the folder of keys is open", "open folder", "identity", mode(0o755), /open to others: identity/),
  permission("the folder of secrets is everybody's", "open folder", "secrets", mode(0o777), /open to others: secrets/),
  permission("the folder of secrets is shut", "shut folder", "secrets", mode(0), /may not enter.*secrets/, {
    takes: ["permissions: shut folder", "secrets", "secrets/scheduler"],
  }),
  permission("the folder of keys is shut", "shut folder", "identity", mode(0), /may not enter.*identity/, {
    takes: ["permissions: shut folder", "identity", "identity/gateway.key", "central-keys.json", "link", "agent.db"],
  }),
  permission("the configuration is another user's", "owner", "agent.db", owner(12_345), /agent\.db \(user 12345\).*chown/, {
    takes: ["permissions: owner", "agent.db"],
  }),
  permission("the queue is root's", "owner", "queue.sqlite", owner(0), /queue\.sqlite \(root\)/, {
    takes: ["permissions: owner", "queue.sqlite"],
  }),
  permission(
    "everybody may write to the queue",
    "open database",
    "queue.sqlite",
    mode(0o666),
    /writable by everybody: queue\.sqlite.*chmod 0600/,
  ),
  permission("the queue is read-only", "fixed", "queue.sqlite", mode(0o400), /may not write to: queue\.sqlite/, {
    takes: ["permissions: fixed", "queue.sqlite"],
  }),
  permission("the gateway's key cannot be read", "shut file", "identity/gateway.key", mode(0), /not readable by .*gateway\.key/, {
    takes: ["permissions: shut file", "identity/gateway.key", "link"],
  }),
  {
    name: "somebody left a file",
    named: "fault permissions",
    says: /notes\.txt \(root\)/,
    takes: ["permissions: owner"],
    ...adding(inData("notes.txt"), "x"),
  },
  {
    name: "what enrollment wrote is damaged",
    named: "fault settings",
    says: /gateway\.json/,
    takes: ["link", "gateway.json", "agent.db", "identity/gateway.key", "central-keys.json"],
    ...changing(inData("gateway.json"), replace("{")),
  },
  {
    name: "what enrollment wrote is lost",
    named: "fault settings",
    says: /gateway\.json is missing/,
    takes: ["link", "gateway.json"],
    ...changing(inData("gateway.json"), remove),
  },
  {
    name: "the gateway's key is lost",
    named: "fault identity",
    says: /key is missing.*Restore/,
    takes: ["link", "identity/gateway.key"],
    ...changing(inData("identity/gateway.key"), remove),
  },
  {
    name: "the gateway's key is damaged",
    named: "fault identity",
    says: /gateway\.key|key/,
    takes: ["link", "identity/gateway.key"],
    ...changing(inData("identity/gateway.key"), replace("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")),
  },
  {
    name: "the folder of keys is lost",
    named: "fault identity",
    says: /identity is missing.*Restore the folder/,
    takes: ["link", "identity", "identity/gateway.key", "central-keys.json", "agent.db"],
    sow: (plant) => renameSync(plant.file("identity"), plant.file("../identity")),
    mend: (plant) => renameSync(plant.file("../identity"), plant.file("identity")),
  },
  {
    name: "central's pinned key is lost",
    named: "fault identity",
    says: /central/,
    takes: ["link", "central-keys.json", "agent.db"],
    ...changing(inData("identity/central-keys.json"), remove),
  },
  {
    name: "central's pinned key is damaged",
    named: "fault identity",
    says: /central/,
    takes: ["link", "central-keys.json", "agent.db"],
    ...changing(inData("identity/central-keys.json"), replace("{")),
  },
  {
    name: "the configuration is damaged",
    named: "fault configuration",
    says: /agent\.db cannot be read.*Restart/,
    takes: ["agent.db", "addresses"],
    needs: ["process"],
    ...changing(inData("agent.db"), replace("damaged\n")),
  },
  {
    name: "the configuration was deleted under the gateway",
    named: "fault configuration",
    says: /revision \d+ runs/,
    takes: ["agent.db", "addresses"],
    needs: ["process"],
    ...changing(inData("agent.db"), remove),
  },
  {
    name: "the configuration was cut short",
    named: "fault configuration",
    says: /agent\.db/,
    takes: ["agent.db", "addresses"],
    needs: ["process"],
    ...changing(
      inData("agent.db"),
      replace((text) => text.slice(0, 900)),
    ),
  },
  {
    name: "a secret is missing",
    named: "fault secrets scheduler",
    says: /is missing.*plantgate secret set scheduler/,
    takes: ["scheduler", "secrets/scheduler"],
    needs: ["addresses"],
    ...changing(inData("secrets/scheduler"), remove),
  },
  {
    name: "a secret is empty",
    named: "fault secrets scheduler",
    says: /is empty/,
    takes: ["scheduler", "secrets/scheduler"],
    needs: ["addresses"],
    ...changing(inData("secrets/scheduler"), replace("\n")),
  },
  {
    name: "a secret that the configuration names was never put there",
    named: "fault secrets extra",
    says: /names it, and it is missing/,
    takes: ["floor"],
    needs: ["link", "process", "addresses"],
    plan: () => ({ extraSecret: "extra" }),
  },
  {
    name: "the gateway is fenced",
    named: "fault queue",
    says: /fenced.*--unfence/,
    takes: ["fence"],
    ...changing(inData("fenced"), replace(`${JSON.stringify({ reason: "a clone" })}\n`)),
  },
  {
    name: "keys of sealed messages are locked",
    named: "fault queue",
    says: /recover-keys/,
    takes: ["keystore"],
    sow: (plant) => {
      mkdirSync(plant.file("keystore"), { recursive: true, mode: 0o700 });
      chownSync(plant.file("keystore"), serviceUid, serviceUid);
      adding(inData("keystore/keys.locked-1.json"), "{}").sow(plant);
      chownSync(plant.file("keystore/keys.locked-1.json"), serviceUid, serviceUid);
    },
    mend: (plant) => rmSync(plant.file("keystore/keys.locked-1.json")),
  },
  {
    name: "nobody can ask the gateway",
    named: "fault process",
    says: /holds the data folder.*does not answer/,
    takes: ["process", "local.json"],
    ...changing(inData("local.json"), remove),
  },
  {
    name: "the lock was deleted under the gateway",
    named: "fault process",
    says: /its lock was deleted.*restart this one/,
    takes: ["lock"],
    needs: ["process"],
    sow: (plant) => rmSync(plant.file("lock.sqlite")),
    // it goes on without: only a start makes another
    mend: (plant) => plant.stop("SIGKILL"),
  },
  {
    name: "the gateway hangs",
    named: "fault process",
    says: /holds the data folder.*does not answer/,
    takes: ["process", "local.json"],
    sow: ({ pid }) => process.kill(pid as number, "SIGSTOP"),
    mend: ({ pid }) => process.kill(pid as number, "SIGCONT"),
  },
];

function queueDamage(name: string, says: RegExp, damage: (file: string) => void): Seed {
  let kept: ReturnType<typeof keep> | undefined;
  const file = inData("queue.sqlite");
  return {
    name,
    named: "fault queue",
    says,
    takes: ["queue.sqlite"],
    whileStopped: true,
    sow: (plant) => {
      kept = keep(file(plant));
      damage(file(plant));
    },
    mend: (plant) => {
      for (const beside of ["-wal", "-shm"]) rmSync(`${file(plant)}${beside}`, { force: true });
      if (kept) putBack(file(plant), kept);
    },
  };
}

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const handle = openSync(file, "r+");
  writeSync(handle, bytes, 0, bytes.length, at);
  closeSync(handle);
}

/** Those that a gateway that runs would notice, or keeps from happening. */
export const stoppedSeeds: readonly Seed[] = [
  queueDamage("the queue's header is damaged", /damaged.*smartctl/, (file) =>
    overwrite(file, 0, Buffer.from("garbage garbage ")),
  ),
  queueDamage("a page of the queue is damaged", /damaged/, (file) => overwrite(file, 4096, Buffer.alloc(8192, 7))),
  queueDamage("the queue is empty", /damaged/, (file) => replace("")(file, "")),
  queueDamage("the queue is lost", /is missing, which was there before/, (file) => renameSync(file, `${file}.away`)),
  queueDamage("the queue is a newer version's", /has format 99.*plantgate upgrade/, (file) => {
    const db = new DatabaseSync(file);
    db.exec("UPDATE meta SET value = '99' WHERE name IN ('format', 'readableBy')");
    db.close();
    for (const beside of ["-wal", "-shm"]) if (existsSync(`${file}${beside}`)) chmodSync(`${file}${beside}`, 0o600);
  }),
];
