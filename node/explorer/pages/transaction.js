// One transaction: what was asked, what became of it, and the way to the proof.

import { el, facts, saveButton } from "../elements.js";
import { panel, sentence } from "../panel.js";
import { count, moment, toBlock, toRecord, whole } from "../words.js";
import { outcome } from "./blocks.js";

const RECORD_ARGUMENTS = {
  put: ["Record", "SHA-256", "Size", "Schema", "Location", "Links", "Labels"],
  supersede: ["Record", "Follows version", "SHA-256", "Size", "Schema", "Location", "Links", "Labels"],
};

export function transaction({ args: [wanted], ask, askBytes }) {
  const id = wanted.toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(id)) {
    return {
      title: "Transaction",
      nodes: [el("p", { class: "empty" }, "A transaction's id has 64 hexadecimal digits.")],
    };
  }
  let isFound = false;
  const main = panel(null, {
    load: async () => (isFound ? null : ask(`v1/tx/${id}`)),
    show: (answer) => {
      isFound = true;
      return showTransaction(answer, askBytes);
    },
    onMissing: () =>
      el(
        "div",
        { class: "empty" },
        el("p", {}, "No certified transaction has this id on this node, or not yet."),
        el("p", { class: "note" }, "This page looks again at every new block."),
      ),
  });
  const refresh = async () => {
    if (!isFound) await main.refresh();
  };
  return {
    title: "Transaction",
    nodes: [el("p", { class: "lead" }, whole(id)), main.element],
    panels: [{ refresh }],
  };
}

function showTransaction(answer, askBytes) {
  const { decoded_transaction: asked, decoded_receipt: receipt, tx_id: id } = answer;
  return [
    el(
      "p",
      { class: "actions" },
      el("a", { class: "button", href: `#/proofs/tx/${id}` }, "Check the proof here"),
      saveButton("Download the proof", `tx-${id.slice(0, 16)}.bundle`, () => askBytes(`v1/prove/tx/${id}`)),
    ),
    el("h2", {}, "Receipt"),
    receipt
      ? facts([
          ["Outcome", outcome(receipt)],
          ["In words", sentence(receipt.explanation)],
          ["Block", el("span", {}, toBlock(answer.height), `, place ${count(answer.index)}`)],
          ["Result", receipt.status === 0 ? shown(receipt.result) : null],
          ["Writes hash", whole(receipt.writes_hash)],
        ])
      : el("p", {}, "Of a version that this node does not read."),
    el("h2", {}, "Transaction"),
    asked
      ? facts([
          ["Call", `${asked.app}.${asked.method}`],
          ["Signed by", whole(asked.sender)],
          ["Unique id", whole(asked.unique_id)],
          ["Void from", moment(asked.expires_at_ms)],
        ])
      : el("p", {}, "Of a version that this node does not read."),
    asked ? el("h2", {}, "Arguments") : null,
    asked ? showArguments(asked) : null,
  ];
}

function showArguments({ app, method, args }) {
  const names = app === "records" ? RECORD_ARGUMENTS[method] : undefined;
  if (!args.length) return el("p", { class: "empty" }, "None.");
  if (names?.length === args.length) {
    return facts(
      names.map((name, index) => [
        name,
        name === "Record" ? toRecord(String(args[index])) : shown(args[index]),
      ]),
    );
  }
  return facts(args.map((value, index) => [`Argument ${index}`, shown(value)]));
}

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Any JSON value as text. */
function shown(value) {
  if (value === null) return el("span", { class: "note" }, "nothing");
  if (typeof value === "string" && /^([0-9a-f]{2}){16,}$/.test(value)) return whole(value);
  if (typeof value !== "object") return el("span", { class: "long" }, String(value));
  if (Array.isArray(value) && !value.length) return el("span", { class: "note" }, "none");
  if (Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) {
    return el(
      "ul",
      { class: "plain" },
      value.map(([name, text]) => el("li", { class: "long" }, `${plain(name)}: ${plain(text)}`)),
    );
  }
  return el("pre", { tabindex: "0" }, JSON.stringify(value, null, 1));
}
