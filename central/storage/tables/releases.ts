/** Packages of gateways, and their bytes: here, so that every replica has them and a backup holds them. */
export interface ReleaseTables {
  release_packages: {
    /** Its name tells version, platform and kind. */
    file: string;
    version: string;
    platform: string;
    kind: string;
    size: number;
    sha256: string;
    signature: string;
    /** What its chunks lie under: new with each upload. */
    upload: string;
    begun_at: number;
    added_by: string;
    /** When all of it was here, and was what its sum says; null: it is on its way. */
    added_at: number | null;
  };
  /** `number` from 0; each but the last has a mebibyte. */
  release_chunks: { upload: string; number: number; body: Uint8Array };
}
