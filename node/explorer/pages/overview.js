// The cluster at a glance: where it stands, how fast it goes, who carries it, and what came last.

import { badge, el, facts, refill, table } from "../elements.js";
import { bar, sparkline } from "../drawings.js";
import { WINDOW_SECONDS } from "../live.js";
import { panel } from "../panel.js";
import { quorum } from "../proofs/shapes.js";
import { ago, count, duration, moment, short, toBlock, whole } from "../words.js";

const BLOCKS_SHOWN = 8;
const SEEN = {
  self: () => badge("calm", "this node"),
  connected: () => badge("good", "connected"),
  apart: () => badge("bad", "not connected"),
};

export function overview({ ask, live }) {
  const tiles = el("div", { class: "tiles" });
  const rate = el("section", { class: "panel rate" });
  const latest = el("div", { class: "body" });
  const self = el("div", { class: "body" });
  const validators = panel("Validators", {
    load: async () => {
      const [{ validators, total_weight: total, epoch }, status] = await Promise.all([
        ask("v1/validators"),
        live.status ?? ask("v1/status"),
      ]);
      return { total, epoch, listed: validators.map((one) => ({ ...one, seen: seen(one, status) })) };
    },
    show: showValidators,
  });

  function tick() {
    const { status } = live;
    if (!status) return;
    refill(tiles, showTiles(status, live.readiness));
    refill(rate, showRate(live.rates()));
    refill(latest, showBlocks(live.blocks.slice(0, BLOCKS_SHOWN), status.time_ms));
    refill(self, showSelf(status));
    markLeader(validators.element, status);
  }
  return {
    title: "Overview",
    nodes: [
      tiles,
      el(
        "div",
        { class: "columns" },
        el(
          "div",
          {},
          rate,
          el(
            "section",
            { class: "panel" },
            el("h2", {}, "Latest blocks"),
            latest,
            el("p", { class: "more" }, el("a", { href: "#/blocks" }, "All blocks")),
          ),
        ),
        el("div", {}, validators.element, el("section", { class: "panel" }, el("h2", {}, "This node"), self)),
      ),
    ],
    everyMs: 10_000,
    panels: [validators],
    tick,
  };
}

function tile(name, value, note, kind = "") {
  return el(
    "div",
    { class: `tile ${kind}` },
    el("span", { class: "name" }, name),
    el("span", { class: "value" }, value),
    el("span", { class: "note" }, note),
  );
}

function showTiles(status, readiness) {
  const behind = status.certified_height - status.stored_height;
  return [
    tile(
      "Height",
      toBlock(status.certified_height),
      behind > 0 ? `${count(behind)} being stored` : "certified and stored",
    ),
    tile("Round", count(status.round), `epoch ${count(status.epoch)}`),
    tile("Leader", status.leader, "of this round"),
    tile("Waiting", count(status.pending_transactions), "in the pool"),
    tile(
      "Ready",
      readiness ? (readiness.ready ? "Yes" : "No") : "…",
      readiness?.ready === false ? "see the notice above" : "it can commit",
      readiness?.ready === false ? "warn" : "",
    ),
    tile(
      "Up for",
      duration(status.time_ms - status.started_ms),
      `since ${new Date(status.started_ms).toISOString().slice(5, 16).replace("T", " ")} UTC`,
    ),
  ];
}

function showRate(rates) {
  const known = rates.filter((value) => value !== null);
  // The second that runs is not over: the rate of the last whole one is told.
  const now = rates.length > 1 ? rates[rates.length - 2] : null;
  const average = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : 0;
  return [
    el("h2", {}, "Transactions a second"),
    el(
      "p",
      { class: "headline" },
      el("strong", {}, count(now ?? 0)),
      el(
        "span",
        { class: "note" },
        ` now · ${average.toFixed(average < 10 ? 1 : 0)} on average · ${count(Math.max(0, ...known))} at most`,
      ),
    ),
    sparkline(rates.slice(0, -1), "Certified transactions a second"),
    el("p", { class: "note axis" }, el("span", {}, `${WINDOW_SECONDS} s ago`), el("span", {}, "now")),
  ];
}

function showBlocks(blocks, now) {
  return table(
    "Latest blocks",
    [
      { title: "Height", of: (block) => toBlock(block.height) },
      { title: "Transactions", kind: "number", of: (block) => count(block.transactions) },
      { title: "Hash", kind: "wide", of: (block) => short(block.decoded.hash) },
      { title: "When", kind: "number", of: (block) => ago(block.decoded.time_ms, now) },
    ],
    blocks,
    { isNarrow: true },
  );
}

function showValidators({ listed, total, epoch }) {
  const list = el(
    "ul",
    { class: "weights" },
    listed.map((validator) =>
      el(
        "li",
        { "data-name": validator.name },
        el(
          "span",
          { class: "who" },
          el("strong", {}, validator.name),
          el("span", { class: "note" }, validator.organisation),
        ),
        el("span", { class: "marks" }, badge("leader", "leader"), SEEN[validator.seen]?.()),
        el(
          "span",
          { class: "figure" },
          `${count(validator.weight)} · ${((100 * validator.weight) / total).toFixed(1)} %`,
        ),
        bar(validator.weight, total),
      ),
    ),
  );
  return [
    list,
    el(
      "p",
      { class: "note" },
      `Epoch ${count(epoch)}, weight ${count(total)} in all. Decisions need ${count(quorum(total))}.`,
    ),
  ];
}

/** Whether a validator is this node, or how this node is linked with it. */
function seen({ node_key: key }, status) {
  if (key === status.node_key) return "self";
  const peer = status.peers.find((one) => one.node_key === key);
  if (!peer) return "unknown";
  return peer.connected ? "connected" : "apart";
}

function markLeader(element, status) {
  for (const item of element.querySelectorAll("[data-name]")) {
    item.classList.toggle("leads", item.dataset.name === status.leader);
  }
}

function showSelf(status) {
  return facts([
    ["Node", `${status.node_name} (${status.is_validator ? "validator" : "observer"})`],
    ["Software", status.version],
    ["Cluster", status.cluster_name],
    ["Cluster id", whole(status.cluster_id)],
    ["Node key", whole(status.node_key)],
    ["Its clock", moment(status.time_ms)],
    ["Benchmark", status.benchmark ? `${status.benchmark}: no ledger, nothing here was executed` : null],
  ]);
}
