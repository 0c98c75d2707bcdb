/** Keys: of gateways, with how they came, and of central itself. */
export interface KeyTables {
  gateway_keys: {
    site: string;
    /** SHA-256 of the public key's DER (SPKI), hex. */
    fingerprint: string;
    /** Ed25519, SPKI PEM: what it signs with. */
    public_key: string;
    /** X25519, public JWK: what secrets are sealed to; null for a gateway that has none yet. */
    seal_key: string | null;
    /** pending, active, retiring, retired, moved, replaced or revoked. */
    state: string;
    /** added, enrolled, imported or rotated. */
    origin: string;
    created_at: number;
    confirmed_at: number | null;
    confirmed_by: string | null;
    /** A retiring one is taken until then. */
    retires_at: number | null;
    /** A person asked its gateway to change to a new one. */
    rotate_asked_at: number | null;
  };
  /** One use each. */
  enrollment_tokens: {
    hash: string;
    site: string;
    created_at: number;
    created_by: string;
    expires_at: number;
    used_at: number | null;
    /** The fingerprint of the key that it let in: that gateway may ask again, as an answer gets lost. */
    used_by: string | null;
  };
  /** Central's public signing keys; each but the first is introduced by the one before it (`statement`, a compact JWS). */
  signing_keys: { number: number; kid: string; public_key: string; statement: string; created_at: number };
}
