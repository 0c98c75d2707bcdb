/**
 * Recognizes the lines that make up nearly all of a ledger: samples, spelled as gateways spell them. A whole frame is judged where it
 * lies, without an object per message, about twenty times faster than by the schemas.
 *
 * It only ever says yes to what `parseEvent` accepts (held by a property test); what it does not know (another order of keys, an escape
 * in a text, a key of a newer version) goes the long way. So a stricter schema has to be followed here, a wider one need not be.
 */
export interface SampleLines {
  /** How many lines from `start` on, of a text whose lines each end with a newline, are samples of the site; stops at the first other. */
  count(text: string, start: number, most: number): { readonly lines: number; readonly end: number };
}

/** What a JSON text may hold without an escape; control characters are refused in identifiers. */
const character = String.raw`[^"\\\x00-\x1f\x7f-\x9f]`;
const text = (min: number, max: number): string => `"${character}{${min},${max}}"`;
const optional = (key: string, value: string): string => `(?:,"${key}":${value})?`;
const leapYear = String.raw`(?:\d\d[2468][048]|\d\d[13579][26]|\d\d0[48]|[02468][048]00|[13579][26]00)`;
/** Days 1 to 28 of every month, and those behind them that the month has. */
const date = String.raw`(?:\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|${leapYear}-02-29)`;
const instant = String.raw`"${date}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z"`;
/** Exponents of two digits at most: none overflows to infinity. */
const number = String.raw`-?(?:0|[1-9]\d{0,20})(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?`;

/** @param site the authenticated sender: a line of another site is none of these */
export function sampleLines(site: string): SampleLines {
  const pattern = new RegExp(
    [
      String.raw`\{"specversion":"1\.0","id":${text(1, 128)},"source":${text(1, 256)}`,
      String.raw`,"type":"mfg\.equipment\.sampled\.v1","subject":${text(1, 256)},"time":${instant}`,
      `,"datacontenttype":"application/json","dataschema":${text(1, 256)},"recordedtime":${instant}`,
      `,"site":"${site.replaceAll(/[^a-z0-9-]/g, "\\$&")}"${optional("flow", text(1, 128))},"partitionkey":${text(1, 512)}`,
      `${optional("inputhash", '"[0-9a-f]{64}"')}`,
      `,"data":\\{"equipment":${text(1, 128)},"item":${text(1, 128)}`,
      `,"value":(?:${number}|${text(0, 4096)}|true|false|null)`,
      `${optional("dataType", text(0, 32))}${optional("unitCode", text(0, 16))}`,
      `${optional("statusCode", "(?:0|[1-9]\\d{0,8}|[1-3]\\d{9})")},"quality":"(?:good|uncertain|bad)","sourceTimestamp":${instant}`,
      `${optional("serverTimestamp", instant)}${optional("node", text(0, 512))}${optional("overflow", "(?:true|false)")}`,
      "\\}\\}\\n",
    ].join(""),
    "y",
  );
  return {
    count(frames, start, most) {
      let [lines, end] = [0, start];
      pattern.lastIndex = start;
      while (lines < most && pattern.test(frames)) {
        lines++;
        end = pattern.lastIndex;
      }
      return { lines, end };
    },
  };
}
