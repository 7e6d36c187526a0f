// SHA-256 and Ed25519 from the browser itself (WebCrypto), with the ledger's domain tags (`consensus/keys.py`).

import { join } from "./msgpack.js";

const TAG = new TextEncoder();

/** Whether this page may use WebCrypto at all: browsers give it to https and to loopback addresses only. */
export const hasWebCrypto = () => globalThis.crypto?.subtle !== undefined;

/** SHA-256 of the parts, one behind the other. */
export async function sha256(...parts) {
  const data = parts.length === 1 ? parts[0] : join(parts);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/** SHA-256 of the length-prefixed domain tag and the content. */
export function domainDigest(domain, content) {
  const tag = TAG.encode(domain);
  return sha256(Uint8Array.of(tag.length), tag, content);
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(text) {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new TypeError("these are no hexadecimal digits");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function equal(a, b) {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

// RFC 8032 7.1, test 2: a browser that cannot tell this signature from a damaged one checks nothing.
const KNOWN_KEY = fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
const KNOWN_SIGNATURE = fromHex(
  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
);
const KNOWN_MESSAGE = Uint8Array.of(0x72);

/** Whether this browser checks Ed25519 signatures, tried on a known one. */
export async function hasEd25519() {
  try {
    const key = await crypto.subtle.importKey("raw", KNOWN_KEY, { name: "Ed25519" }, false, ["verify"]);
    const damaged = Uint8Array.of(0x73);
    return (
      (await crypto.subtle.verify("Ed25519", key, KNOWN_SIGNATURE, KNOWN_MESSAGE)) &&
      !(await crypto.subtle.verify("Ed25519", key, KNOWN_SIGNATURE, damaged))
    );
  } catch {
    return false; // an unknown algorithm is how browsers say that they lack it
  }
}

/** Whether the signature is that of this key; a key that is no point of the curve has signed nothing. */
export async function isSignedBy(publicKey, message, signature) {
  try {
    const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, signature, message);
  } catch (error) {
    if (error.name === "DataError") return false;
    throw error;
  }
}
