// All heights, newest first, and one of them: its header, what certifies it, its transactions.

import { badge, el, facts, saveButton, table } from "../elements.js";
import { panel } from "../panel.js";
import { fromHex } from "../proofs/hashing.js";
import { decode } from "../proofs/msgpack.js";
import { readCertificate, signerIndices } from "../proofs/shapes.js";
import { count, counted, moment, short, toBlock, toTransaction, whole } from "../words.js";

const PAGE = 25;

export function blocks({ ask, query }) {
  const before = query.get("before");
  const list = panel(null, {
    load: () => ask("v1/blocks", { before, limit: PAGE }),
    show: (answer) => [
      table("Blocks", COLUMNS, answer.blocks, { empty: "There is no block below this height." }),
      pager(answer, before),
    ],
  });
  return {
    title: "Blocks",
    isStill: before !== null,
    nodes: [
      el(
        "p",
        { class: "lead" },
        "Each block with transactions has a ledger header, certified by more than two thirds of the weight.",
      ),
      list.element,
    ],
    panels: [list],
  };
}

const COLUMNS = [
  { title: "Height", of: (block) => toBlock(block.height) },
  { title: "Time", of: (block) => moment(block.decoded.time_ms) },
  {
    title: "Transactions",
    kind: "number",
    of: (block) => (block.transactions === null ? "pruned" : count(block.transactions)),
  },
  { title: "Epoch", kind: "number", of: (block) => count(block.decoded.epoch) },
  { title: "Header hash", of: (block) => short(block.decoded.hash) },
  {
    title: "Certified",
    of: (block) =>
      block.has_certificate
        ? badge("good", "itself")
        : badge("calm", block.height ? "by a later one" : "genesis"),
  },
];

function pager({ blocks: listed, more, stored_height: newest }, before) {
  const last = listed[listed.length - 1];
  const newer = before === null ? null : Number(before) + PAGE;
  return el(
    "nav",
    { class: "pager", "aria-label": "More blocks" },
    before === null
      ? null
      : el("a", { href: newer > newest ? "#/blocks" : `#/blocks?before=${newer}` }, "Newer"),
    more ? el("a", { href: `#/blocks?before=${last.height}` }, "Older") : null,
  );
}

export function block({ args: [wanted], ask, askBytes }) {
  const path = /^([0-9a-f]{64}|\d{1,15}|latest)$/.test(wanted) ? wanted : "0".repeat(64);
  const main = panel(null, {
    load: async () => {
      const answer = await ask(`v1/blocks/${path}`);
      return { answer, validators: await ask("v1/validators") };
    },
    show: ({ answer, validators }) => showBlock(answer, validators, askBytes),
    onMissing: (error) => el("p", { class: "empty" }, error.message),
  });
  const title = /^\d+$/.test(path) ? `Block ${count(Number(path))}` : "Block";
  return { title, isStill: true, nodes: [main.element], panels: [main] };
}

function showBlock(answer, validators, askBytes) {
  const { height } = answer;
  const header = answer.header.decoded;
  return [
    el(
      "p",
      { class: "actions" },
      el("a", { class: "button", href: `#/proofs/header/${height}` }, "Check this header here"),
      saveButton("Download its proof", `header-${height}.bundle`, () =>
        askBytes(`v1/prove/header/${height}`),
      ),
      el(
        "span",
        { class: "neighbours" },
        height > 0 ? el("a", { href: `#/block/${height - 1}` }, `‹ ${count(height - 1)}`) : null,
        el("a", { href: `#/block/${height + 1}` }, `${count(height + 1)} ›`),
      ),
    ),
    el("h2", {}, "Header"),
    facts([
      ["Hash", whole(header.hash)],
      ["Time", moment(header.time_ms)],
      ["Epoch", count(header.epoch)],
      ["Incarnation", count(header.incarnation)],
      [
        "Before it",
        height > 0
          ? el("a", { href: `#/block/${height - 1}` }, whole(header.parent_hash))
          : "nothing: this is the genesis",
      ],
      ["Ordered in block", whole(header.block_id)],
      ["Transactions root", whole(header.tx_root)],
      ["Receipts root", whole(header.receipt_root)],
      ["State root", whole(header.state_root)],
      ["Outboxes root", mapRoot(header.outbox_root)],
      ["History root", whole(header.history_root)],
      ["Anchors root", mapRoot(header.anchors_root)],
      ["Validators hash", whole(header.validators_hash)],
      ["Next validators", whole(header.next_validators_hash)],
    ]),
    el("h2", {}, "Certificate"),
    showCertificate(answer.header, validators, height),
    el("h2", {}, counted(answer.transactions.length, "transaction")),
    showTransactions(answer),
  ];
}

/** The root of an empty map is 32 zero bytes, as long as a cluster federates with nobody. */
const mapRoot = (root) => (/^0+$/.test(root) ? "empty" : whole(root));

function showCertificate(proven, { validators, epoch }, height) {
  if (proven.certificate === null)
    return el("p", {}, "None yet: the first header follows from the genesis document.");
  const certificate = readCertificate(decode(fromHex(proven.certificate)));
  const isCurrent = certificate.epoch === epoch;
  const signers = signerIndices(certificate.signers);
  const name = (index) => (isCurrent ? validators[index]?.name : undefined) ?? `validator ${index}`;
  return facts([
    [
      "Certifies",
      certificate.height === height
        ? "this header"
        : el("span", {}, "header ", toBlock(certificate.height), ", whose history holds this one"),
    ],
    [
      "Signed by",
      el(
        "span",
        { class: "marks" },
        signers.map((index) => badge("good", name(index))),
      ),
    ],
    [
      "Not among them",
      isCurrent && signers.length < validators.length
        ? validators
            .filter((_, index) => !signers.includes(index))
            .map((one) => one.name)
            .join(", ")
        : null,
    ],
    ["Checked", "not here: a proof is, on its own page"],
  ]);
}

function showTransactions(answer) {
  const rows = answer.decoded_transactions.map((transaction, index) => ({
    index,
    transaction,
    receipt: answer.decoded_receipts[index],
  }));
  return table(
    "Transactions of this block",
    [
      { title: "Place", of: ({ index }) => count(index) },
      {
        title: "Transaction",
        of: ({ transaction, receipt }) => toTransaction(transaction?.id ?? receipt?.tx_id ?? ""),
      },
      {
        title: "Call",
        of: ({ transaction }) =>
          transaction ? `${transaction.app}.${transaction.method}` : "of another version",
      },
      { title: "Signed by", of: ({ transaction }) => short(transaction?.sender) },
      { title: "Outcome", of: ({ receipt }) => outcome(receipt) },
    ],
    rows,
    { empty: "This header carries no transaction." },
  );
}

/** A receipt's status as a badge. */
export function outcome(receipt) {
  if (!receipt) return badge("calm", "unknown");
  return receipt.status === 0 ? badge("good", "took effect") : badge("bad", receipt.name);
}
