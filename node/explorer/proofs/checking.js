// A bundle checked with nothing but a genesis hash, in the steps of `node/anchoring/bundles/verification.py`:
// the pinned hash makes the genesis believed, the genesis its validators, their certificate a header, the
// header's roots everything else. Each step leaves a line; the first that fails ends it. What was not checked
// is part of the answer.

import { NotCanonical } from "./msgpack.js";
import { encode } from "./msgpack.js";
import { domainDigest, equal, hasEd25519, hasWebCrypto, hex, isSignedBy } from "./hashing.js";
import { ProofError, checkInclusion, checkState, leafHash } from "./merkle.js";
import {
  Malformed,
  membersHash,
  quorum,
  readBundle,
  readGenesis,
  readHeader,
  readReceipt,
  readTransaction,
  signerIndices,
} from "./shapes.js";

export const VERIFIED = "verified";
export const REFUSED = "refused";
export const INCOMPLETE = "incomplete";
const SIGNATURE_BYTES = 64;

/**
 * Check the bundle in `data` against the 32 bytes of `trust`.
 *
 * Answers {verdict, steps: [{name, state, sentence}], notChecked: [sentence], found}: `verdict` is INCOMPLETE
 * where nothing failed but the browser lacks what signatures or hashes need; `found` is what was proven.
 */
export async function checkBundle(data, trust) {
  const steps = [];
  if (!hasWebCrypto()) {
    const sentence = "This page has no WebCrypto: browsers give it to https and to loopback addresses only.";
    return {
      verdict: INCOMPLETE,
      steps: [{ name: "hashes", state: "skipped", sentence }],
      notChecked: [],
      found: null,
    };
  }
  const check = new Checking(steps, await hasEd25519());
  try {
    const found = await check.run(data, trust);
    const verdict = check.canSign ? VERIFIED : INCOMPLETE;
    return { verdict, steps, notChecked: notChecked(found), found };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    steps.push({ name: error.step, state: "failed", sentence: error.message });
    return { verdict: REFUSED, refused: error.step, steps, notChecked: [], found: null };
  }
}

class Refusal extends Error {
  constructor(step, message) {
    super(message);
    this.step = step;
  }
}

class Checking {
  constructor(steps, canSign) {
    this.steps = steps;
    this.canSign = canSign;
  }

  /** Run one step; what it answers is its sentence, or nothing when it is not worth a line. */
  async step(name, action) {
    let sentence;
    try {
      sentence = await action();
    } catch (error) {
      if (error instanceof Malformed || error instanceof NotCanonical || error instanceof ProofError) {
        throw new Refusal(name, error.message);
      }
      throw error;
    }
    if (typeof sentence === "string") this.steps.push({ name, state: "ok", sentence });
  }

  async run(data, trust) {
    let bundle, genesis, header, certified;
    await this.step("format", async () => {
      bundle = await readBundle(data);
      return `The file is a bundle of ${data.length} bytes about a ${nouns[bundle.kind]}.`;
    });
    await this.step("genesis", async () => {
      const id = await domainDigest("isthmus/genesis/v1", bundle.genesisBody);
      need(equal(id, trust), `the bundle's genesis has the hash ${hex(id)}, pinned is ${hex(trust)}`);
      genesis = readGenesis(bundle.genesisBody);
      return `The genesis is that of cluster ${genesis.name}, whose hash is pinned.`;
    });
    await this.step("header", async () => {
      header = certified = await readHeader(bundle.header);
    });
    const top = bundle.later ? "certified header" : "header";
    if (bundle.later)
      await this.step(top, async () => {
        certified = await readHeader(bundle.later.header);
      });
    const sets = await this.epochs(bundle, genesis, certified, trust, top);
    await this.places(bundle, header, certified, sets, trust, top);
    await this.step("certificate", () => this.certificate(certified, bundle.certificate, sets.at(-1), trust));
    if (bundle.later) {
      await this.step("history path", async () => {
        await checkHistory(header.height, header.hash, certified, bundle.later.path);
        return `Header ${header.height} is in the history of header ${certified.height}.`;
      });
    }
    if (bundle.checkpoint) {
      await this.step("checkpoint path", async () => {
        const { height, hash, path } = bundle.checkpoint;
        await checkHistory(height, hash, certified, path);
        return `Header ${height} (${hex(hash)}) is in the history of header ${certified.height}.`;
      });
    }
    const fact = await this.statement(bundle, header);
    return { kind: bundle.kind, cluster: genesis.name, header, certified, fact };
  }

  /** The validators of each epoch up to the certifying one. */
  async epochs(bundle, genesis, certified, trust, top) {
    await this.step(top, () => {
      need(equal(certified.clusterId, trust), `header ${certified.height} is of another cluster`);
      need(certified.incarnation === 0, "it is of a recovered cluster; use isthmus verify --recovery");
      need(
        certified.epoch <= bundle.links.length,
        `header ${certified.height} is of epoch ${certified.epoch}, the links lead to epoch ${bundle.links.length}`,
      );
    });
    const sets = [genesis.validators];
    await this.step("epoch links", async () => {
      need(certified.epoch === bundle.links.length, "there are more links than epochs");
      let above = -1;
      for (const [epoch, link] of bundle.links.entries()) {
        need(link.header.height > above, `epoch ${epoch} does not end above height ${above}`);
        above = link.header.height;
        need(link.header.nextValidatorsHash !== null, `header ${above} does not end epoch ${epoch}`);
        need(
          equal(await membersHash(link.validators), link.header.nextValidatorsHash),
          `header ${above} names other validators for the next epoch`,
        );
        await this.certificate(link.header, link.certificate, sets[epoch], trust, epoch);
        sets.push(link.validators);
      }
      if (!bundle.links.length) return undefined;
      const count = bundle.links.length;
      return `The validators of epoch ${certified.epoch} follow from the genesis by ${count} epoch links.`;
    });
    return sets;
  }

  /** Both headers are of their epochs' sets and lie inside their epochs. */
  async places(bundle, header, certified, sets, trust, top) {
    const ends = [-1, ...bundle.links.map((link) => link.header.height)];
    const place = async (one) => {
      need(
        one.epoch <= certified.epoch,
        `header ${one.height} is of epoch ${one.epoch}, after the certified one`,
      );
      await checkOrigin(one, sets[one.epoch], trust, one.epoch);
      need(one.height > ends[one.epoch], `header ${one.height} lies before its epoch ${one.epoch} began`);
      need(
        one.epoch === certified.epoch || one.height <= ends[one.epoch + 1],
        `header ${one.height} lies behind the end of its epoch ${one.epoch}`,
      );
    };
    await this.step("header", () => place(header));
    if (bundle.later) await this.step(top, () => place(certified));
  }

  /** A quorum of `members` signed exactly this header. */
  async certificate(header, certificate, members, trust, epoch = header.epoch) {
    await checkOrigin(header, members, trust, epoch);
    const { incarnation, blockId, headerHash, signers, signatures } = certificate;
    need(
      incarnation === header.incarnation &&
        certificate.epoch === header.epoch &&
        certificate.height === header.height &&
        equal(blockId, header.blockId) &&
        equal(headerHash, header.hash),
      "the certificate is for another header",
    );
    need(signers.length === (members.length + 7) >> 3, "the bitmap of signers has another length");
    const indices = signerIndices(signers);
    need(
      indices.every((index) => index < members.length),
      "a signer is no validator",
    );
    need(
      signatures.length === indices.length * SIGNATURE_BYTES,
      "there are more or fewer signatures than signers",
    );
    const weight = indices.reduce((sum, index) => sum + members[index].weight, 0);
    const total = members.reduce((sum, member) => sum + member.weight, 0);
    need(weight >= quorum(total), `weight ${weight} of ${total} is no quorum`);
    const named = `Header ${header.height} (${hex(header.hash)}, epoch ${header.epoch})`;
    const signed = `${indices.length} of ${members.length} validators, weight ${weight} of ${total}`;
    if (!this.canSign) return this.skip(`${named} names ${signed} as signers.`);
    const fields = [trust, incarnation, header.epoch, header.height, blockId, headerHash];
    const message = await domainDigest("isthmus/header-signature/v1", encode(fields));
    for (const [position, index] of indices.entries()) {
      const signature = signatures.subarray(position * SIGNATURE_BYTES, (position + 1) * SIGNATURE_BYTES);
      need(
        await isSignedBy(members[index].key, message, signature),
        `the signature of validator ${index} is wrong`,
      );
    }
    return `${named} is certified by ${signed}: a quorum, each signature checked.`;
  }

  skip(claim) {
    const sentence = `${claim} NOT CHECKED: this browser has no Ed25519 in WebCrypto.`;
    this.steps.push({ name: "signatures", state: "skipped", sentence });
  }

  async statement({ kind, statement }, header) {
    if (kind === "transaction") return this.transaction(statement, header);
    if (kind === "state") {
      const { key, value, proof } = statement;
      const holds = value === null ? "nothing" : `these ${value.length} bytes`;
      await this.step("state proof", async () => {
        await checkState(header.stateRoot, key, value, proof);
        return `After header ${header.height} the state holds ${holds} at the key.`;
      });
      return { key, value };
    }
    return null;
  }

  async transaction({ transaction, receipt, index, size, transactionPath, receiptPath }, header) {
    let read, outcome;
    await this.step("transaction", async () => {
      read = await readTransaction(transaction);
      need(equal(read.clusterId, header.clusterId), "it was signed for another cluster");
      const who = `Transaction ${hex(read.id)}`;
      if (!this.canSign) return this.skip(`${who} names ${hex(read.sender)} as its signer.`);
      need(
        await isSignedBy(read.sender, read.id, read.signature),
        `the signature is not that of ${hex(read.sender)}`,
      );
      return `${who} is signed by ${hex(read.sender)}.`;
    });
    await this.step("transaction path", async () => {
      await checkInclusion(await leafHash(transaction), index, size, transactionPath, header.txRoot);
      return `It is leaf ${index} of the transactions of header ${header.height}.`;
    });
    await this.step("receipt path", async () => {
      await checkInclusion(await leafHash(receipt), index, size, receiptPath, header.receiptRoot);
    });
    await this.step("receipt", () => {
      outcome = readReceipt(receipt);
      need(outcome.version === 1, "its version is another");
      need(equal(outcome.txId, read.id), "it is of another transaction");
      need(outcome.height === header.height && outcome.index === index, "it states another place");
      const told =
        outcome.status === 0 ? "it took effect (status 0)" : `it FAILED with status ${outcome.status}`;
      return `The receipt at the same place says that ${told}.`;
    });
    return { transaction: read, receipt: outcome };
  }
}

const nouns = { transaction: "transaction and its receipt", state: "state entry", header: "header" };

function need(condition, otherwise) {
  if (!condition) throw new ProofError(otherwise);
}

async function checkOrigin(header, members, trust, epoch) {
  need(equal(header.clusterId, trust), `header ${header.height} is of another cluster`);
  need(header.incarnation === 0, `header ${header.height} is of incarnation ${header.incarnation}`);
  need(header.epoch === epoch, `header ${header.height} is of epoch ${header.epoch}, expected ${epoch}`);
  need(
    equal(header.validatorsHash, await membersHash(members)),
    `header ${header.height} names other validators than epoch ${epoch} has`,
  );
}

/** Leaves of a history are header hashes; index and size are heights of headers, never claims of a bundle. */
async function checkHistory(height, hash, certified, path) {
  need(height < certified.height, `height ${height} is not in the history of header ${certified.height}`);
  await checkInclusion(await leafHash(hash), height, certified.height, path, certified.historyRoot);
}

function notChecked({ header, certified }) {
  const after = `after height ${header.height}`;
  return [
    `Freshness: whether the cluster has gone on ${after}, and whether this was superseded since.`,
    `Forks: whether the validators also certified another history up to height ${certified.height}.`,
    "Execution: whether what was certified follows by the cluster's rules; a quorum of validators says so.",
    "Keys: whether retired keys that leaked could have forged this; pin a recent header with isthmus verify.",
    "This page: it was delivered by the node that you ask. isthmus verify checks the same file offline.",
  ];
}
