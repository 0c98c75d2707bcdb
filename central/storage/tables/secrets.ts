/** Values of secrets, encrypted under the key-encryption key; which secrets there are is said by documents of kind Secret. */
export interface SecretTables {
  secret_versions: {
    name: string;
    /** The site that it is for; empty: all that have none of their own. */
    site: string;
    version: number;
    /** Compact JWE (dir, A256GCM) under the key-encryption key that its `kid` names. */
    sealed: string;
    created_at: number;
    created_by: string;
    /** An older version stays valid beside the newest until then. */
    valid_until: number | null;
    /** When its issuer stops accepting it, as far as a person said so. */
    expires_at: number | null;
  };
}
