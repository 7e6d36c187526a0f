// The two trees of a header: RFC 6962 lists, and the sparse Merkle tree of the state (ICS-23 `SmtSpec`).
// As `node/proofs/rfc6962.py` and `smt.py`: the shape is checked before anything is hashed.

import { equal, hex, sha256 } from "./hashing.js";

export class ProofError extends Error {}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const EMPTY = new Uint8Array(32);
const DEPTH_MAX = 256;

/** The hash of a list's leaf. */
export const leafHash = (data) => sha256(LEAF, data);

const nodeHash = (left, right) => sha256(NODE, left, right);

/** Throws ProofError unless the path leads from leaf `index` of `size` to the root (RFC 9162 2.1.3.2). */
export async function checkInclusion(leaf, index, size, path, root) {
  if (!(0 <= index && index < size))
    throw new ProofError(`leaf ${index} is outside a tree of ${size} leaves`);
  // BigInt: bit operations on plain numbers end at 32 bits.
  const [place, last] = [BigInt(index), BigInt(size) - 1n];
  const inner = bitLength(place ^ last);
  const expected = inner + ones(place >> BigInt(inner));
  if (path.length !== expected) {
    throw new ProofError(`the path has ${path.length} hashes where the sizes demand ${expected}`);
  }
  let current = leaf;
  for (const [level, sibling] of path.entries()) {
    const isRight = level >= inner || ((place >> BigInt(level)) & 1n) === 1n;
    current = isRight ? await nodeHash(sibling, current) : await nodeHash(current, sibling);
  }
  if (!equal(current, root)) {
    throw new ProofError(`the path of leaf ${index} leads to ${hex(current)}, not to the root ${hex(root)}`);
  }
}

function bitLength(value) {
  return value === 0n ? 0 : value.toString(2).length;
}

function ones(value) {
  return value.toString(2).replaceAll("0", "").length;
}

/** `[depth, bitmap, siblings joined, other leaf | nil]` as its siblings; throws ProofError for other shapes. */
export function readStateProof(fields) {
  if (!Array.isArray(fields) || fields.length !== 4) throw new ProofError("a state proof has four parts");
  const [depth, bitmap, joined, other] = fields;
  if (!(Number.isInteger(depth) && 0 <= depth && depth <= DEPTH_MAX)) throw new ProofError(`depth ${depth}`);
  if (!(bitmap instanceof Uint8Array) || bitmap.length !== (depth + 7) >> 3) {
    throw new ProofError("the bitmap of siblings has another length than its depth says");
  }
  const isGiven = (level) => (bitmap[level >> 3] >> (7 - (level & 7))) & 1;
  for (let level = depth; level < bitmap.length * 8; level++) {
    if (isGiven(level)) throw new ProofError("the bitmap of siblings has bits beyond its depth");
  }
  const siblings = [];
  let at = 0;
  for (let level = 0; level < depth; level++) {
    if (!isGiven(level)) siblings.push(EMPTY);
    else siblings.push(joined?.subarray?.(at, (at += 32)));
  }
  if (!(joined instanceof Uint8Array) || joined.length !== at) {
    throw new ProofError("there are more or fewer siblings than the bitmap says");
  }
  if (siblings.some((sibling, level) => isGiven(level) && equal(sibling, EMPTY))) {
    throw new ProofError("an empty sibling is spelled out");
  }
  if (other !== null && !(other instanceof Uint8Array && other.length === 64)) {
    throw new ProofError("the other leaf must have 64 bytes");
  }
  return { siblings, other };
}

/** Throws ProofError unless the tree under `root` holds `value` at `key`, or nothing where it is null. */
export async function checkState(root, key, value, { siblings, other }) {
  if (siblings.length && equal(siblings[siblings.length - 1], EMPTY)) {
    throw new ProofError("the path ends beside an empty subtree, where it would have collapsed");
  }
  const keyHash = await sha256(key);
  await checkClimb(root, keyHash, await stateLeaf(keyHash, value, siblings.length, other), siblings);
}

async function stateLeaf(keyHash, value, depth, other) {
  if (value !== null) {
    if (other !== null) throw new ProofError("a proof of presence has no other leaf");
    return sha256(LEAF, keyHash, await sha256(value));
  }
  if (other === null) return EMPTY;
  const otherHash = other.subarray(0, 32);
  if (equal(otherHash, keyHash)) throw new ProofError("the leaf that shall prove absence is the key's own");
  for (let level = 0; level < depth; level++) {
    if (bit(otherHash, level) !== bit(keyHash, level)) {
      throw new ProofError(`the other leaf leaves the path of the key above depth ${depth}`);
    }
  }
  return sha256(LEAF, other);
}

async function checkClimb(root, keyHash, terminal, siblings) {
  let current = terminal;
  for (let level = siblings.length - 1; level >= 0; level--) {
    current = bit(keyHash, level)
      ? await nodeHash(siblings[level], current)
      : await nodeHash(current, siblings[level]);
  }
  if (!equal(current, root)) {
    throw new ProofError(`the path leads to ${hex(current)}, not to the root ${hex(root)}`);
  }
}

const bit = (hash, level) => (hash[level >> 3] >> (7 - (level & 7))) & 1;
