// Numbers, times and hashes as people read them.

import { el } from "./elements.js";

const NUMBERS = new Intl.NumberFormat("en");
const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

export const count = (value) => (value === null || value === undefined ? "–" : NUMBERS.format(value));

/** "1 block", "2 blocks". */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** A duration in its largest unit and the next: "2 h 5 min". */
export function duration(ms) {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const index = UNITS.findIndex(([size]) => ms >= size);
  const [size, unit] = UNITS[index];
  const whole = Math.floor(ms / size);
  const next = UNITS[index + 1];
  const rest = next ? Math.floor((ms - whole * size) / next[0]) : 0;
  return rest && whole < 10 ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

/** A moment in UTC: operators of one cluster sit in several time zones. */
export function moment(ms) {
  const date = new Date(Number(ms));
  if (Number.isNaN(date.getTime())) return `${ms} ms`; // beyond what dates can say, and proven all the same
  const iso = date.toISOString();
  return el("time", { datetime: iso, title: iso }, `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`);
}

/** How long ago, at most to the second; the moment itself on hovering. */
export function ago(ms, now) {
  const passed = now - ms;
  const text = passed < 1_000 ? "just now" : `${duration(passed)} ago`;
  return el("time", { datetime: new Date(ms).toISOString(), title: new Date(ms).toISOString() }, text);
}

/** A hash cut short, the whole one on hovering. */
export function short(hash) {
  if (!hash) return "–";
  return el("code", { title: hash }, hash.length > 20 ? `${hash.slice(0, 8)}…${hash.slice(-6)}` : hash);
}

/** A whole hash, selected by one click. */
export const whole = (hash) => (hash ? el("code", { class: "whole" }, hash) : null);

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const size = Number(value);
  if (size < 1024) return `${size} B`;
  const power = Math.min(4, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

export const toBlock = (height, text = count(height)) => el("a", { href: `#/block/${height}` }, text);
export const toTransaction = (id) => el("a", { href: `#/tx/${id}` }, short(id));
export const toRecord = (id) => el("a", { href: `#/record/${encodeURIComponent(id)}`, class: "long" }, id);
