/** Where in a YAML text the cursor stands, also while the text is not whole yet. Pure: block style by indentation, flow style by brackets. */

export interface YamlPlace {
  /** Keys and list positions (`-`) from the top of this document down to what is being written. */
  readonly path: readonly string[];
  /** A key of the mapping at `path`, or the value that stands at `path`. */
  readonly writes: "key" | "value";
  /** Where the word under the cursor begins. */
  readonly from: number;
  /** Scalars beside it, of the whole mapping that the key (or the value's key) is in: `type: mqtt`. */
  readonly siblings: Readonly<Record<string, string>>;
  /** Scalars at the top of this document, such as its kind. */
  readonly top: Readonly<Record<string, string>>;
}

interface Frame {
  /** Column of its keys; flow frames have none. */
  readonly indent: number;
  readonly flow: "{" | "[" | null;
  readonly path: readonly string[];
  key: string | null;
}

const keyPattern = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#{}[\],"'&*!|>%@`][^#{}[\],]*?)\s*:(?=\s|$)/;

export function yamlPlace(text: string, offset: number): YamlPlace | undefined {
  const start = documentStart(text, offset);
  const end = documentEnd(text, offset);
  const scalars = new Map<string, Record<string, string>>();
  const note = (path: readonly string[], key: string, value: string) => {
    const at = path.join("\u0000");
    scalars.set(at, { ...scalars.get(at), [key]: value });
  };
  let place: Omit<YamlPlace, "siblings" | "top"> | undefined;
  let stack: Frame[] = [{ indent: -1, flow: null, path: [], key: null }];
  let scalarIndent: number | undefined;
  let lineStart = start;
  while (lineStart <= end) {
    const lineEnd = Math.min(end, indexOr(text.indexOf("\n", lineStart), end));
    const line = text.slice(lineStart, lineEnd);
    const here = offset >= lineStart && offset <= lineEnd;
    const indent = line.length - line.trimStart().length;
    const inScalar = scalarIndent !== undefined && (line.trim() === "" || indent > scalarIndent);
    if (inScalar && here) return undefined;
    if (!inScalar) {
      scalarIndent = undefined;
      const cursor = here ? offset - lineStart : undefined;
      const found = readLine(line, lineStart, cursor, stack, note);
      stack = found.stack;
      if (found.scalar) scalarIndent = found.indent;
      if (here) {
        if (found.place === undefined) return undefined;
        place = found.place;
      }
    }
    lineStart = lineEnd + 1;
  }
  if (place === undefined) return undefined;
  const around = place.writes === "key" ? place.path : place.path.slice(0, -1);
  return { ...place, siblings: scalars.get(around.join("\u0000")) ?? {}, top: scalars.get("") ?? {} };
}

type Note = (path: readonly string[], key: string, value: string) => void;
interface LineRead {
  readonly stack: Frame[];
  readonly place: Omit<YamlPlace, "siblings" | "top"> | undefined;
  /** A block scalar begins: lines deeper than `indent` are its text. */
  readonly scalar: boolean;
  readonly indent: number;
}

function readLine(line: string, lineStart: number, cursor: number | undefined, before: readonly Frame[], note: Note): LineRead {
  let stack = before.map((frame) => ({ ...frame }));
  let place: LineRead["place"];
  let column = line.length - line.trimStart().length;
  const inFlow = stack.at(-1)?.flow != null;
  const blank = line.trim() === "";
  // on a line of spaces, or of a list's dash alone, the column of the cursor says which mapping a key would belong to
  if (blank && cursor !== undefined && !inFlow) column = cursor;
  const atPlace = (writes: "key" | "value", path: readonly string[], from: number) => {
    place = { writes, path, from: lineStart + from };
  };
  let keyColumn = column;
  if (!inFlow) {
    if (line.trimStart().startsWith("#")) return { stack, place, scalar: false, indent: column };
    if (blank && cursor === undefined) return { stack, place, scalar: false, indent: column };
    let rest = line.slice(column);
    stack = outTo(stack, column, /^-(\s|$)/.test(rest));
    while (/^-(\s|$)/.test(rest)) {
      const parent = stack.at(-1) as Frame;
      const path = [...parent.path, ...(parent.key === null ? [] : [parent.key]), "-"];
      const skip = 1 + (rest.slice(1).length - rest.slice(1).trimStart().length);
      if (cursor !== undefined && cursor <= column) return { stack, place, scalar: false, indent: column };
      // list frames stand at the dash's column, so that the next dash goes back to it
      stack.push({ indent: column, flow: null, path, key: null });
      column += skip;
      keyColumn = column;
      rest = line.slice(column);
      stack.push({ indent: column, flow: null, path, key: null });
    }
    const frame = enter(stack, column);
    const match = keyPattern.exec(rest);
    if (match) {
      const key = unquote(match[1] as string);
      const colon = column + match[0].length;
      if (cursor !== undefined && cursor >= column && cursor < colon) {
        atPlace("key", frame.path, column);
      }
      frame.key = key;
      const value = line.slice(colon);
      const gap = value.length - value.trimStart().length;
      if (/^[|>][+-]?\d?\s*(#.*)?$/.test(value.trim())) {
        return { stack, place, scalar: true, indent: keyColumn };
      }
      if (cursor !== undefined && cursor >= colon && !/^[{[]/.test(value.trimStart())) {
        atPlace("value", [...frame.path, key], Math.min(colon + gap, cursor));
      }
      if (value.trim() !== "" && !/^[{[]/.test(value.trimStart())) note(frame.path, key, unquote(uncomment(value).trim()));
      column = colon + gap;
    } else if (cursor !== undefined && !/^[{["']/.test(rest)) {
      const listed = frame.path.at(-1) === "-" && rest.trim() !== "" && !rest.includes(":");
      // a lone word: a key about to be, or a value of a list
      atPlace("key", frame.path, column);
      if (listed) return { stack, place, scalar: false, indent: keyColumn };
    }
  } else {
    column = 0;
  }
  return { ...readFlow(line, lineStart, column, cursor, stack, note, place), scalar: false, indent: keyColumn };
}

/** The rest of a line in flow style: `{ connector: wms, topics: [a, b] }`, which may go on in the next line. */
function readFlow(
  line: string,
  lineStart: number,
  begin: number,
  cursor: number | undefined,
  stack: Frame[],
  note: Note,
  found: LineRead["place"],
): Pick<LineRead, "stack" | "place"> {
  let place = found;
  let at = begin;
  let token = begin;
  let quoted = false;
  const flowing = () => stack.at(-1)?.flow ?? null;
  if (flowing() === null && !/^[{[]/.test(line.slice(begin))) return { stack, place };
  const put = (upTo: number) => {
    const frame = stack.at(-1) as Frame;
    if (cursor !== undefined && cursor >= token && cursor <= upTo && frame.flow !== null) {
      const raw = line.slice(token, upTo);
      const from = lineStart + Math.min(token + (raw.length - raw.trimStart().length), cursor);
      if (frame.flow === "{" && frame.key === null) place = { writes: "key", path: frame.path, from };
      else place = { writes: "value", path: [...frame.path, frame.flow === "[" ? "-" : (frame.key as string)], from };
    }
  };
  const close = (upTo: number) => {
    const frame = stack.at(-1) as Frame;
    put(upTo);
    const raw = line.slice(token, upTo).trim();
    if (frame.flow === "{" && frame.key !== null && raw !== "") note(frame.path, frame.key, unquote(raw));
  };
  while (at < line.length) {
    const letter = line[at] as string;
    if (letter === '"' || letter === "'") {
      const closing = endOfQuote(line, at);
      if (cursor !== undefined && cursor > at && cursor < closing) quoted = true;
      at = closing;
      continue;
    }
    if (letter === "#" && /\s/.test(line[at - 1] ?? " ")) break;
    const frame = stack.at(-1) as Frame;
    if (letter === "{" || letter === "[") {
      const path = frame.flow === "[" ? [...frame.path, "-"] : [...frame.path, ...(frame.key === null ? [] : [frame.key])];
      stack.push({ indent: -1, flow: letter, path, key: null });
      at += 1;
      token = at;
      continue;
    }
    if (letter === "}" || letter === "]") {
      if (frame.flow === null) break;
      close(at);
      stack.pop();
      at += 1;
      token = at;
      if (flowing() === null) return { stack, place: quoted ? undefined : place };
      continue;
    }
    if (letter === ",") {
      close(at);
      if (frame.flow === "{") frame.key = null;
      at += 1;
      token = at;
      continue;
    }
    if (letter === ":" && frame.flow === "{" && frame.key === null && /[\s,}]|^$/.test(line[at + 1] ?? "")) {
      put(at);
      frame.key = unquote(line.slice(token, at).trim());
      at += 1;
      token = at;
      continue;
    }
    at += 1;
  }
  put(line.length);
  return { stack, place: quoted ? undefined : place };
}

/** Leaves the mappings that a line of this column is not inside of. */
function outTo(stack: Frame[], column: number, dash: boolean): Frame[] {
  const kept = [...stack];
  while (kept.length > 1) {
    const last = kept.at(-1) as Frame;
    // a list may stand at the column of the key that it belongs to
    const listOfSameColumn = dash && last.indent === column && last.path.at(-1) !== "-";
    if (last.indent < column || listOfSameColumn) break;
    if (last.indent === column && !dash && !(last.path.at(-1) === "-" && isDashFrame(kept))) break;
    kept.pop();
  }
  return kept;
}

/** Of the two frames of a list's element the outer one, which stands at the dash. */
function isDashFrame(stack: readonly Frame[]): boolean {
  const last = stack.at(-1) as Frame;
  const before = stack.at(-2);
  return !(before !== undefined && before.path === last.path);
}

/** The mapping whose keys stand at this column; a deeper column than any opens the one below the last key. */
function enter(stack: Frame[], column: number): Frame {
  const last = stack.at(-1) as Frame;
  if (last.indent === column) return last;
  const next: Frame = {
    indent: column,
    flow: null,
    path: last.key === null ? last.path : [...last.path, last.key],
    key: null,
  };
  stack.push(next);
  return next;
}

function documentStart(text: string, offset: number): number {
  const before = [...text.slice(0, offset).matchAll(/^---(?:[ \t].*)?$\n?/gm)].at(-1);
  return before ? (before.index ?? 0) + before[0].length : 0;
}
function documentEnd(text: string, offset: number): number {
  const after = /^---(?:\s|$)/m.exec(text.slice(offset));
  return after ? Math.max(offset, offset + after.index - 1) : text.length;
}
function endOfQuote(line: string, at: number): number {
  const quote = line[at];
  let next = at + 1;
  while (next < line.length) {
    if (line[next] === "\\" && quote === '"') next += 2;
    else if (line[next] === quote) return next + 1;
    else next += 1;
  }
  return line.length;
}
function unquote(text: string): string {
  return /^".*"$|^'.*'$/s.test(text) ? text.slice(1, -1) : text;
}
function uncomment(text: string): string {
  return text.replace(/\s#.*$/, "");
}
function indexOr(index: number, other: number): number {
  return index === -1 ? other : index;
}
