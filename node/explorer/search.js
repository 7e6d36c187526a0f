// What somebody looks for, by its shape: a height, 64 hexadecimal digits (a transaction, else a block), a record.

import { Refused, Unreachable, ask } from "./node_api.js";

/** The fragment of the page that shows it, or null for nothing asked. */
export async function find(wanted) {
  if (!wanted) return null;
  if (/^\d{1,15}$/.test(wanted)) return `#/block/${Number(wanted)}`;
  if (/^[0-9a-fA-F]{64}$/.test(wanted)) {
    const id = wanted.toLowerCase();
    return (await exists(`v1/blocks/${id}`)) ? `#/block/${id}` : `#/tx/${id}`;
  }
  if (wanted.includes("/") && !wanted.endsWith("/")) return `#/record/${encodeURIComponent(wanted)}`;
  return `#/records?prefix=${encodeURIComponent(wanted)}`;
}

async function exists(path) {
  try {
    await ask(path);
    return true;
  } catch (error) {
    if (error instanceof Refused || error instanceof Unreachable) return false; // the next page says which
    throw error;
  }
}
