/** What the bench sends: made from a number, so that every system of a comparison carries the same bytes and a reader can count. */

export const site = "plant";
export const sampleType = "mfg.equipment.sampled.v1";
const start = Date.parse("2026-11-01T00:00:00.000Z");
const machines = 200;

/**
 * One canonical sample as a gateway records it, about 690 bytes, without newline. `value` is the ordinal; id and hash are as good as
 * random (nothing for a compressor), the rest repeats as it does in a plant.
 */
export function sampleLine(ordinal: number): string {
  const machine = `LINE-${1 + (ordinal % 8)}/PRESS-${100 + (ordinal % machines)}`;
  const at = new Date(start + ordinal).toISOString();
  const hash = hex(ordinal, 4);
  const id = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
  return `{"specversion":"1.0","id":"${id}","source":"urn:plantgate:${site}:floor","type":"${sampleType}","subject":"equipment/${machine}","time":"${at}","datacontenttype":"application/json","dataschema":"urn:plantgate:schema:${sampleType}","recordedtime":"${at}","site":"${site}","flow":"device-samples","partitionkey":"${machine}/spindle-temperature","inputhash":"${hex(ordinal ^ 0x5bd1e995, 8)}","data":{"equipment":"${machine}","item":"spindle-temperature","value":${ordinal},"unitCode":"CEL","quality":"good","sourceTimestamp":"${at}"}}`;
}

/** The ordinal of a sample that was written as JSON, whatever stands around it; -1 where there is none. */
export function ordinalOf(line: string): number {
  const at = line.lastIndexOf('"value":');
  return at < 0 ? -1 : Number.parseInt(line.slice(at + 8, at + 24), 10);
}

/** The ordinal of what became of {@link pickPayload}. */
export function pickOrdinalOf(line: string): number {
  const at = line.lastIndexOf('"txnId":"');
  return at < 0 ? -1 : Number.parseInt(line.slice(at + 9, at + 25), 10);
}

/** Raw input of 300 bytes, as a device says it. */
export function samplePayload(ordinal: number): string {
  const machine = `LINE-${1 + (ordinal % 8)}/PRESS-${100 + (ordinal % machines)}`;
  const at = new Date(start + ordinal).toISOString();
  const text = `{"equipment":"${machine}","item":"spindle-temperature","value":${ordinal},"unit":"CEL","at":"${at}","serial":"SN-${hex(ordinal % machines, 2)}","firmware":"4.2.17","id":"${hex(ordinal, 4)}","trace":"${hex(ordinal ^ 0x2545f491, 3)}"`;
  return padded(text);
}

/** Raw input of 300 bytes, as a warehouse system says it. */
export function pickPayload(ordinal: number): string {
  const at = new Date(start + ordinal).toISOString();
  const text = `{"txn":"${ordinal}","task":"PK-${ordinal % 997}","order":"hq-mo-${ordinal % 4999}","operator":"u17","at":"${at}","no":1,"sku":"RM-ALU","lot":"L-2291","qty":"12.5","uom":"KGM","from":"BIN-04-2","to":"LINE-1","id":"${hex(ordinal, 6)}"`;
  return padded(text);
}

export const payloadBytes = 300;

const note = "as reported by the device on the shop floor, not corrected afterwards; shift change done";

function padded(open: string): string {
  return `${open},"note":"${note.slice(0, payloadBytes - open.length - 11)}"}`;
}

const pairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Eight hexadecimal digits a word, from the finalizer of MurmurHash3: neighbours share nothing. */
function hex(seed: number, words: number): string {
  let text = "";
  for (let word = 1; word <= words; word++) {
    let h = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(word, 0x85ebca77);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    text += `${pairs[h >>> 24]}${pairs[(h >>> 16) & 255]}${pairs[(h >>> 8) & 255]}${pairs[h & 255]}`;
  }
  return text;
}
