// Numbers, times and durations as people read them.

const grouped = new Intl.NumberFormat("en-US");
export const DASH = "–";

/** Up to six significant digits; very large and very small numbers in scientific form. */
export function number(value) {
  if (value === null || value === undefined) return DASH;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return grouped.format(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return String(Number(value.toPrecision(6)));
}

export function count(value) {
  return typeof value === "number" ? grouped.format(value) : value ?? DASH;
}

export function percent(value) {
  return typeof value === "number" ? `${(value * 100).toFixed(value === 0 || value === 1 ? 0 : 2)} %` : DASH;
}

/** By the kind of a column or fact. */
export function byKind(value, kind) {
  if (value === null || value === undefined || value === "") return DASH;
  if (kind === "number") return number(value);
  if (kind === "count") return count(value);
  if (kind === "ratio") return percent(value);
  if (kind === "flag") return value ? "yes" : "no";
  return String(value);
}

/** Milliseconds as `0.3 s`, `12 s`, `3 min 05 s`, `2 h 04 min`. */
export function duration(ms) {
  if (ms === null || ms === undefined || ms < 0) return DASH;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** A moment in the reader's time zone: `2026-01-31 14:05:09`. */
export function moment(ms) {
  if (!ms) return DASH;
  const at = new Date(ms);
  const pad = (n) => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** A long name with its middle left out: ends of names tell them apart. */
export function shorten(name, length) {
  if (name.length <= length) return name;
  const half = Math.floor((length - 1) / 2);
  return `${name.slice(0, length - 1 - half)}…${name.slice(name.length - half)}`;
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
