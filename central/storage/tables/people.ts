/** People, their tools, and what they did. `roles` and `environments` lie as JSON lists. */
export interface PeopleTables {
  users: {
    name: string;
    /** argon2id, as a PHC string; null until its owner has set one. */
    password: string | null;
    roles: string;
    /** Environments that the person may act in; `["*"]`: all. */
    environments: string;
    created_at: number;
    created_by: string;
    disabled_at: number | null;
    /** Wrong passwords since the last right one. */
    failures: number;
    locked_until: number | null;
  };
  api_tokens: {
    id: string;
    /** SHA-256 of the token, which is shown once. */
    hash: string;
    user: string;
    purpose: string;
    roles: string;
    environments: string;
    created_at: number;
    created_by: string;
    expires_at: number;
    revoked_at: number | null;
    last_used_at: number | null;
  };
  /** What was done, by whom: appended only; `hash` is SHA-256(hash before ‖ `entry`), over the exact stored bytes. */
  audit: { number: number; entry: string; hash: string };
}
