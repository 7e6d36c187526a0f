// Bytes become typed things once, here: bundles, headers, certificates, transactions, receipts, records.
// The formats are those of `node/anchoring/bundles/bundle.py` and the files that it names.

import { decode, encode } from "./msgpack.js";
import { domainDigest, hex } from "./hashing.js";
import { readStateProof } from "./merkle.js";

export class Malformed extends Error {}

export const KINDS = { 1: "transaction", 2: "state", 3: "header" };
const MAGIC = "isthmus-bundle/1";
const BUNDLE_BYTES_MAX = 16 * 1024 * 1024;
const HEADER_BYTES_MAX = 512;
const VALIDATORS_MAX = 128;
const WEIGHT_MAX = 1_000_000;
const WHOLE_MAX = 2n ** 63n - 1n;
const LINKS_MAX = 1024;
const PATH_HASHES_MAX = 64;
const NAME_CHARACTERS_MAX = 64;
const GENESIS_DEPTH_MAX = 7;

/** The parts of a bundle, none of them believed yet. Throws Malformed or NotCanonical. */
export async function readBundle(data) {
  if (data.length > BUNDLE_BYTES_MAX) throw new Malformed(`${data.length} bytes are too many for a bundle`);
  const value = decode(data, { depthMax: 6 });
  if (!Array.isArray(value) || value[0] !== MAGIC)
    throw new Malformed(`this is no bundle of the format ${MAGIC}`);
  const [, kind, body, links, header, certificate, later, path, checkpoint, statement] = tuple(
    value,
    10,
    "bundle",
  );
  if ((later === null) !== (path === null)) {
    throw new Malformed("a certified header and a history path come together or not at all");
  }
  return {
    kind: read(KINDS[kind], `kind ${kind} is none that this page knows`),
    genesisBody: bytes(body, "genesis body"),
    links: await Promise.all(array(links, LINKS_MAX, "epoch links").map(readLink)),
    header: bytes(header, "header"),
    certificate: readCertificate(certificate),
    later:
      later === null
        ? null
        : { header: bytes(later, "certified header"), path: hashes(path, "history path") },
    checkpoint: checkpoint === null ? null : readCheckpoint(checkpoint),
    statement: readStatement(kind, statement),
  };
}

function readStatement(kind, value) {
  if (kind === 1) {
    const [transaction, receipt, index, size, transactionPath, receiptPath] = tuple(value, 6, "statement");
    return {
      transaction: bytes(transaction, "transaction"),
      receipt: bytes(receipt, "receipt"),
      index: whole(index, "index"),
      size: whole(size, "size"),
      transactionPath: hashes(transactionPath, "transaction path"),
      receiptPath: hashes(receiptPath, "receipt path"),
    };
  }
  if (kind === 2) {
    const [key, content, proof] = tuple(value, 3, "statement");
    return {
      key: bytes(key, "state key"),
      value: content === null ? null : bytes(content, "state value"),
      proof: readStateProof(proof),
    };
  }
  if (value !== null) throw new Malformed("a header bundle has no statement beside its header");
  return null;
}

function readCheckpoint(value) {
  const [height, hash, path] = tuple(value, 3, "checkpoint");
  return {
    height: whole(height, "checkpoint height"),
    hash: bytes(hash, "checkpoint hash", 32),
    path: hashes(path, "checkpoint path"),
  };
}

/** `[incarnation, epoch, height, block_id, header_hash, signers, signatures]`. */
export function readCertificate(value) {
  const [incarnation, epoch, height, blockId, headerHash, signers, signatures] = tuple(
    value,
    7,
    "certificate",
  );
  return {
    incarnation: whole(incarnation, "incarnation"),
    epoch: whole(epoch, "certificate epoch"),
    height: whole(height, "certificate height"),
    blockId: bytes(blockId, "certificate block id", 32),
    headerHash: bytes(headerHash, "header hash", 32),
    signers: bytes(signers, "certificate signers"),
    signatures: bytes(signatures, "certificate signatures"),
  };
}

async function readLink(value) {
  const [header, certificate, members] = tuple(value, 3, "epoch link");
  return {
    header: await readHeader(bytes(header, "header")),
    certificate: readCertificate(certificate),
    validators: readMembers(
      array(members, VALIDATORS_MAX, "validators").map((member) => tuple(member, 2, "validator")),
    ),
  };
}

function readMembers(pairs) {
  const members = pairs.map(([key, weight]) => {
    if (!(1 <= weight && weight <= WEIGHT_MAX)) throw new Malformed(`a weight is 1 to ${WEIGHT_MAX}`);
    return { key: bytes(key, "validator key", 32), weight: whole(weight, "weight") };
  });
  const keys = new Set(members.map((member) => hex(member.key)));
  if (!members.length || keys.size !== members.length) throw new Malformed("no set of validators looks so");
  return members;
}

/** The least whole weight that is more than two thirds of `total`. */
export const quorum = (total) => Math.floor((2 * total) / 3) + 1;

/** The positions set in a signers' bitmap, ascending. */
export function signerIndices(bitmap) {
  return Array.from({ length: bitmap.length * 8 }, (_, index) => index).filter(
    (index) => (bitmap[index >> 3] >> (index & 7)) & 1,
  );
}

/** A ledger header with its hash (`node/proofs/header.py`). */
export async function readHeader(data) {
  if (data.length > HEADER_BYTES_MAX) throw new Malformed(`${data.length} bytes are too many for a header`);
  const fields = tuple(decode(data, { depthMax: 1 }), 16, "header");
  if (fields[0] !== 1) throw new Malformed(`header version ${fields[0]} is not 1`);
  const hash = (index, what) => bytes(fields[index], what, 32);
  return {
    incarnation: whole(fields[1], "incarnation"),
    clusterId: hash(2, "cluster id"),
    epoch: whole(fields[3], "epoch"),
    height: whole(fields[4], "height"),
    parentHash: hash(5, "parent hash"),
    blockId: hash(6, "block id"),
    timeMs: whole(fields[7], "time_ms"),
    txRoot: hash(8, "tx root"),
    receiptRoot: hash(9, "receipt root"),
    stateRoot: hash(10, "state root"),
    outboxRoot: hash(11, "outbox root"),
    historyRoot: hash(12, "history root"),
    anchorsRoot: hash(13, "anchors root"),
    validatorsHash: hash(14, "validators hash"),
    nextValidatorsHash: fields[15] === null ? null : hash(15, "next validators hash"),
    hash: await domainDigest("isthmus/header/v1", data),
  };
}

/** What a genesis says to somebody who only checks: the cluster's name and the signers of epoch 0. */
export function readGenesis(body) {
  const fields = tuple(decode(body, { depthMax: GENESIS_DEPTH_MAX }), 7, "genesis");
  const [version, name, params, listed, , , stateRoot] = fields;
  if (version !== 1) throw new Malformed(`genesis version ${version} is not 1`);
  bytes(stateRoot, "state root", 32);
  whole(array(params, Infinity, "genesis params")[0], "created_ms");
  const validators = array(listed, VALIDATORS_MAX, "validators").map((item) => tuple(item, 6, "validator"));
  readMembers(validators.map(([, , , , weight, operator]) => [operator, weight]));
  return {
    name: text(name, "cluster name", NAME_CHARACTERS_MAX),
    validators: readMembers(validators.map(([, , key, , weight]) => [key, weight])),
    names: validators.map(([nodeName]) => (typeof nodeName === "string" ? nodeName : "?")),
  };
}

/** `validators_hash` of headers. */
export const membersHash = (members) =>
  domainDigest("isthmus/validators/v1", encode(members.map(({ key, weight }) => [key, weight])));

/** `[body, signature]` with the body's fields and the id that is signed. */
export async function readTransaction(data) {
  const [body, signature] = tuple(decode(data, { depthMax: 1 }), 2, "envelope");
  const fields = tuple(decode(bytes(body, "body")), 8, "body");
  if (fields[0] !== 1) throw new Malformed(`transaction version ${fields[0]} is not 1`);
  return {
    id: await domainDigest("isthmus/transaction/v1", body),
    signature: bytes(signature, "signature", 64),
    clusterId: bytes(fields[1], "cluster id"),
    sender: bytes(fields[2], "sender", 32),
    app: fields[5],
    method: fields[6],
    args: fields[7],
  };
}

/** `[version, tx_id, height, index, status, result, writes_hash]`. */
export function readReceipt(data) {
  const [version, txId, height, index, status, result] = tuple(decode(data), 7, "receipt");
  return {
    version,
    txId: bytes(txId, "transaction id"),
    height,
    index,
    status: whole(status, "status"),
    result,
  };
}

/** A record's version as the state holds it, or null for other values (`node/ledger/apps/records.py`). */
export function readRecord(value) {
  try {
    const [format, number, owner, author, content, , txId, height, timeMs] = tuple(
      decode(value),
      9,
      "record",
    );
    const [sha256, size, schema, location, links, labels] = tuple(content, 6, "content");
    if (format !== 1) return null;
    return { number, owner, author, sha256, size, schema, location, links, labels, txId, height, timeMs };
  } catch {
    return null; // a value of another application is shown as bytes
  }
}

function tuple(value, length, what) {
  if (!Array.isArray(value) || value.length !== length)
    throw new Malformed(`${what} must have ${length} parts`);
  return value;
}

function array(value, most, what) {
  if (!Array.isArray(value) || value.length > most) throw new Malformed(`${what} must be a list`);
  return value;
}

function bytes(value, what, length) {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) {
    throw new Malformed(`${what} must be ${length ?? "some"} bytes`);
  }
  return value;
}

/** Beyond 2^53 a BigInt: compared like any number, and never added to one. */
function whole(value, what) {
  const isWhole = Number.isSafeInteger(value) || typeof value === "bigint";
  if (!isWhole || value < 0 || value > WHOLE_MAX)
    throw new Malformed(`${what} must be a whole number from 0`);
  return value;
}

function text(value, what, most) {
  if (typeof value !== "string" || [...value].length > most)
    throw new Malformed(`${what} must be a short text`);
  return value;
}

function hashes(value, what) {
  return array(value, PATH_HASHES_MAX, what).map((item) => bytes(item, `hash of the ${what}`, 32));
}

function read(value, otherwise) {
  if (value === undefined) throw new Malformed(otherwise);
  return value;
}
