/** What each kind is called; a kind that a newer central knows is called by its name. */
const words: Readonly<Record<string, string>> = {
  unrouted: "Unrouted",
  "epoch-changed": "New epoch",
  discarded: "Discarded",
  damaged: "Damaged",
  locked: "Locked",
  "lost-by-receiver": "Lost by central",
  clone: "Clone?",
  "ledger-damaged": "Unreadable",
  "configuration-damaged": "Configuration unreadable",
  overtaken: "Overtaken",
  "ledger-restored": "Restored",
  "downlink-set-back": "Set back",
  "downlink-lost": "Deliveries unknown",
  "revision-failed": "Did not do well",
  "rolled-back": "Rolled back",
  "rollout-refused": "Could not begin",
  "rollout-waits": "Rollout waits",
  "secret-due": "Secret due",
  "backup-overdue": "Backup overdue",
  disk: "Disk full",
};

export function alarmWord(kind: string): string {
  return words[kind] ?? kind;
}
