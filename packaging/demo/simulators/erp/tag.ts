/** What a note's Message-Id says: the message that an integration booked, and for consumption what and how much. */
export interface NoteTag {
  readonly type: string | null;
  readonly key: string;
  readonly item: string | null;
  readonly lot: string | null;
  readonly quantity: number | null;
}

/** `<plantgate?site=…&type=…&key=…@plantgate>`, as the gateway writes it; undefined for notes of others. */
export function parseNoteTag(messageId: string): NoteTag | undefined {
  const match = /^<plantgate\?([^@>]*)(?:@[^>]*)?>$/.exec(messageId);
  const query = new URLSearchParams(match?.[1] ?? "");
  const key = query.get("key");
  if (!match || key === null) return undefined;
  const quantity = query.get("quantity");
  return {
    type: query.get("type"),
    key,
    item: query.get("item"),
    lot: query.get("lot"),
    quantity: quantity === null ? null : Number(quantity),
  };
}
