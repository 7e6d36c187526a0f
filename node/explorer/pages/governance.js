// Who validates, and what operators are deciding.

import { badge, el, facts, table } from "../elements.js";
import { bar } from "../drawings.js";
import { panel } from "../panel.js";
import { quorum } from "../proofs/shapes.js";
import { count, counted, moment, short, toBlock, toTransaction, whole } from "../words.js";

export function governance({ ask }) {
  const proposals = panel("Open proposals", {
    // Without the height it was read at: only a change of the proposals is one.
    load: async () => (await ask("v1/governance")).proposals,
    show: (listed) =>
      listed.length ? listed.map(showProposal) : el("p", { class: "empty" }, "Nothing is being decided."),
    note: "A change takes effect once operators with more than two thirds of the weight approve.",
  });
  const validators = panel("Validators", {
    load: async () => {
      const { epoch, total_weight: total, validators: listed } = await ask("v1/validators");
      return { epoch, total, listed };
    },
    show: showValidators,
  });
  return {
    title: "Governance",
    nodes: [proposals.element, validators.element],
    panels: [proposals, validators],
  };
}

function showProposal(proposal) {
  const { approving_weight: approving, total_weight: total } = proposal;
  return el(
    "article",
    { class: "proposal" },
    el(
      "h3",
      {},
      proposal.decoded_changes.map((change) => change.kind).join(", "),
      " ",
      badge("calm", proposal.state),
      proposal.sweeping ? badge("warn", "sweeping") : null,
    ),
    proposal.decoded_changes.map((change) =>
      facts(
        Object.entries(change)
          .filter(([name]) => name !== "kind")
          .map(([name, value]) => [name.replaceAll("_", " "), shown(value)]),
      ),
    ),
    el(
      "p",
      { class: "approving" },
      `Approved by weight ${count(approving)} of ${count(total)}, ${count(quorum(total))} is needed`,
      bar(approving, total, 3 * approving > 2 * total ? "good" : ""),
    ),
    facts([
      [
        "Approved by",
        proposal.approvals.length
          ? proposal.approvals.map((one) => one.validator ?? "an operator without a validator").join(", ")
          : "nobody yet",
      ],
      [
        "Joining",
        proposal.joiners.length
          ? counted(proposal.joiners.filter((one) => !one.is_ready).length, "validator") + " not ready yet"
          : null,
      ],
      [
        "Proposed",
        el(
          "span",
          {},
          "in block ",
          toBlock(proposal.height),
          ", transaction ",
          toTransaction(proposal.tx_id),
        ),
      ],
      ["Void from", moment(proposal.expires_at_ms)],
      ["Proposal", whole(proposal.proposal_id)],
    ]),
  );
}

function shown(value) {
  if (value === null) return el("span", { class: "note" }, "nothing");
  if (typeof value === "object") return el("pre", { tabindex: "0" }, JSON.stringify(value, null, 1));
  return /^([0-9a-f]{2}){16,}$/.test(String(value))
    ? whole(String(value))
    : el("span", { class: "long" }, String(value));
}

function showValidators({ epoch, total, listed }) {
  return [
    table(
      "Validators",
      [
        { title: "Name", of: (one) => el("strong", {}, one.name) },
        { title: "Organisation", of: (one) => one.organisation },
        { title: "Weight", kind: "number", of: (one) => `${count(one.weight)} of ${count(total)}` },
        { title: "Consensus key", of: (one) => short(one.public_key) },
        { title: "Node key", of: (one) => short(one.node_key) },
        { title: "Operator key", of: (one) => short(one.operator_key) },
      ],
      listed,
    ),
    el("p", { class: "note" }, `Epoch ${count(epoch)}.`),
  ];
}
