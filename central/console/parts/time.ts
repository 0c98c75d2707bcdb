/** Times and amounts as people read them. Pure; an instant is UTC text, shown in the browser's zone with UTC beside it. */

/** `3 s`, `2 min 05 s`, `3 h 12 min`, `4 d 3 h`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `+12 ms`, `+1.24 s`, `+2 min 05 s`; with a minus sign where two clocks disagree. */
export function formatDelta(ms: number): string {
  const size = Math.abs(ms);
  const text =
    size < 1000
      ? `${Math.round(size)} ms`
      : size < 10_000
        ? `${(size / 1000).toFixed(2)} s`
        : size < 60_000
          ? `${(size / 1000).toFixed(1)} s`
          : formatAge(size);
  return ms < 0 ? `−${text}` : `+${text}`;
}

/** `02:14:03.123`, or without the milliseconds. */
export function formatTime(instant: string, milliseconds = true): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return milliseconds ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

/** `Tue 24 Nov 2026`, of the browser's zone. */
export function formatDay(instant: string): string {
  return new Date(instant).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
}

/** Both ways to say one instant, for a tooltip: the local zone by name, and UTC. */
export function describeInstant(instant: string): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" })
    .formatToParts(date)
    .find((part) => part.type === "timeZoneName");
  return `${formatDay(instant)} ${formatTime(instant)} ${zone?.value ?? "local"} · ${date.toISOString().replace("T", " ").replace("Z", " UTC")}`;
}

export function formatCount(value: number): string {
  return value.toLocaleString("en-US");
}

export function formatRate(value: number): string {
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = "B";
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** `1 message`, `3 messages`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
