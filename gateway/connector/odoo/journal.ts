import type { CloudEvent } from "../../../protocol/index.ts";
import type { OdooClient } from "./client.ts";
import { note } from "./records.ts";

/**
 * What was booked is written down in Odoo itself: a note in the chatter of the record, whose Message-Id names the message. It is made by
 * the very call that writes the record, so note and record are one transaction; it is not copied to backorders, people can read it, and
 * an ordinary integration key can search it. It needs no field of ours in Odoo.
 */
export interface Entry {
  readonly model: NotedModel;
  readonly record: number;
  readonly tag: Tag;
}
export type NotedModel = "mrp.production" | "stock.picking" | "stock.scrap";

/** What a note says to us: the message, and for consumption what and how much. */
export interface Tag {
  readonly site: string;
  readonly type: string;
  readonly key: string;
  readonly item?: string;
  readonly lot?: string;
  readonly quantity?: string;
  readonly unitCode?: string;
}

const fields = ["site", "type", "key", "item", "lot", "quantity", "unitCode"] as const;

/** The name of a message within Odoo; its parts are what makes it unique at its sender. */
export function tagOf(event: CloudEvent, details: Pick<Tag, "item" | "lot" | "quantity" | "unitCode"> = {}): Tag {
  return { site: event.site, type: event.type, key: event.idempotencykey ?? event.id, ...details };
}

export function writeTag(tag: Tag): string {
  const query = new URLSearchParams();
  for (const field of fields) {
    const value = tag[field];
    if (value !== undefined) query.set(field, value);
  }
  // the shape of a Message-Id (RFC 5322, 3.6.4): Odoo puts it on the mails that it sends of a note
  return `<plantgate?${query}&v=1@plantgate>`;
}

/** The tag of a Message-Id; undefined for notes of others. */
export function parseTag(messageId: string | false): Tag | undefined {
  const match = typeof messageId === "string" ? /^<plantgate\?(.*)&v=1@plantgate>$/.exec(messageId) : null;
  if (!match) return undefined;
  const query = new URLSearchParams(match[1]);
  const [site, type, key] = [query.get("site"), query.get("type"), query.get("key")];
  if (site === null || type === null || key === null) return undefined;
  const detail = (name: "item" | "lot" | "quantity" | "unitCode") => {
    const value = query.get(name);
    return value === null ? {} : { [name]: value };
  };
  return { site, type, key, ...detail("item"), ...detail("lot"), ...detail("quantity"), ...detail("unitCode") };
}

/** The x2many command that adds a note within a write or create of `model`. */
export function noteCommand(model: NotedModel, tag: Tag, sentence: string): readonly [0, 0, Record<string, unknown>] {
  return [
    0,
    0,
    { model, message_type: "comment", is_internal: true, message_id: writeTag(tag), body: `<p>${escapeHtml(sentence)}</p>` },
  ];
}

function escapeHtml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

/** The newest record of `model` that carries `tag`. */
export async function findEntry(
  client: OdooClient,
  model: NotedModel,
  tag: Tag,
  signal: AbortSignal,
): Promise<Entry | undefined> {
  const rows = await client.search(
    "mail.message",
    note,
    [
      ["message_id", "=", writeTag(tag)],
      ["model", "=", model],
    ],
    signal,
    { order: "id desc", limit: 1 },
  );
  const record = rows[0]?.res_id;
  return record ? { model, record, tag } : undefined;
}

/** All our notes on these records, oldest first. */
export async function entriesOn(
  client: OdooClient,
  model: NotedModel,
  records: readonly number[],
  signal: AbortSignal,
): Promise<Entry[]> {
  if (records.length === 0) return [];
  const rows = await client.search(
    "mail.message",
    note,
    [
      ["model", "=", model],
      ["res_id", "in", records],
    ],
    signal,
  );
  return rows.flatMap((row) => {
    const tag = parseTag(row.message_id);
    return tag && row.res_id ? [{ model, record: row.res_id, tag }] : [];
  });
}

export function sameMessage(a: Tag, b: Tag): boolean {
  return a.site === b.site && a.type === b.type && a.key === b.key;
}
