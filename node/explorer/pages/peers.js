// Whom this node sees, what it makes of it, and what to do about it.

import { badge, el, facts, table } from "../elements.js";
import { panel, sentence } from "../panel.js";
import { bytes, count, duration, whole } from "../words.js";

const PERIOD_MS = 5_000;
const VERDICTS = { good: "good", warning: "warn", fault: "bad" };

export function peers({ ask, live }) {
  const diagnosis = panel("What this node makes of it", {
    // The sentences hold rounds and times that change at every look: only the newest are of use.
    load: async () => (await ask("v1/why")).diagnoses,
    show: showDiagnoses,
    // Nodes before this question show their peers only.
    onMissing: () => {
      diagnosis.element.hidden = true;
      return null;
    },
  });
  const list = panel("Peers", {
    load: async () => ({
      peers: await ask("v1/peers"),
      height: live.status?.certified_height ?? null,
      round: live.status?.round ?? null,
    }),
    show: showPeers,
    onMissing: () => {
      list.element.hidden = true;
      return null;
    },
  });
  return {
    title: "Peers",
    nodes: [
      el(
        "p",
        { class: "lead" },
        "The other validators, linked or not, and whoever else this node knows. In a terminal: ",
        el("code", {}, "isthmus why"),
      ),
      diagnosis.element,
      list.element,
    ],
    everyMs: PERIOD_MS,
    panels: [diagnosis, list],
  };
}

function showDiagnoses(diagnoses) {
  return el(
    "ul",
    { class: "diagnoses" },
    diagnoses.map(({ about, code, verdict, words, remedy }) =>
      el(
        "li",
        {},
        badge(VERDICTS[verdict] ?? "calm", verdict),
        el("strong", {}, about),
        el(
          "div",
          {},
          sentence(words),
          remedy ? el("p", { class: "note" }, sentence(remedy)) : null,
          verdict === "good" ? null : el("p", { class: "note" }, el("code", {}, `isthmus explain ${code}`)),
        ),
      ),
    ),
  );
}

function showPeers({ peers: listed, height, round }) {
  const connected = listed.filter((peer) => peer.connected).length;
  return [
    el("p", {}, `${count(connected)} of ${count(listed.length)} connected.`),
    table(
      "Peers",
      [
        {
          title: "Name",
          of: (peer) => [
            el("strong", {}, peer.name),
            peer.weight === 0 ? el("span", { class: "note" }, "no validator") : null,
          ],
        },
        { title: "Connection", of: connection },
        { title: "Height", kind: "number", of: (peer) => heightOf(peer, height) },
        { title: "Round", kind: "number", of: (peer) => count(peer.round) },
        { title: "Heard", kind: "number", of: (peer) => since(peer.heard_ms_ago, "ago") },
        { title: "Clock ahead", kind: "number", of: (peer) => skew(peer.clock_skew_ms) },
        {
          title: "Queue",
          kind: "number",
          of: (peer) =>
            peer.queue_frames ? `${count(peer.queue_frames)} (${bytes(peer.queue_bytes)})` : "empty",
        },
        { title: "Address", of: (peer) => peer.address || "–" },
      ],
      listed,
      { empty: "No peer is known." },
    ),
    listed.map((peer) =>
      el(
        "details",
        { "data-of": peer.node_key },
        el("summary", {}, `More about ${peer.name}`),
        showMore(peer, round),
      ),
    ),
  ];
}

function connection(peer) {
  if (peer.banned_for_ms) return badge("bad", `banned for ${duration(peer.banned_for_ms)}`);
  return peer.connected ? badge("good", "connected") : badge("bad", "not connected");
}

function said({ told, told_ms_ago: ago }) {
  if (!told) return "nothing yet";
  const missing = `${count(told.missing_batches)} batches missing`;
  return `${bytes(told.disk_free_bytes)} of its disk free, ${missing} (${since(ago, "ago")})`;
}

function heightOf(peer, height) {
  if (peer.certified_height === null) return "not told";
  const behind = height === null ? 0 : height - peer.certified_height;
  return behind > 0
    ? `${count(peer.certified_height)} (${count(behind)} behind)`
    : count(peer.certified_height);
}

const since = (ms, word) => (ms === null || ms === undefined ? "never" : `${duration(ms)} ${word}`);

function skew(ms) {
  if (ms === null || ms === undefined) return "not seen";
  return `${ms < 0 ? "−" : ""}${duration(Math.abs(ms))}`;
}

/** What `isthmus peers` tells: the round in which the node is or the one before, no older one. What the peer
 * gave up earlier says nothing of what it does now. */
function gaveUpLately(peer, round) {
  const told = peer.timeout_round;
  if (round === null || told === null || told < round - 1) return "no round lately";
  return `round ${count(told)} (${peer.timeout_reason || "no reason told"})`;
}

function showMore(peer, round) {
  return facts([
    ["Node key", whole(peer.node_key)],
    ["Weight", count(peer.weight)],
    ["Connected for", peer.connected_for_ms === null ? null : since(peer.connected_for_ms, "")],
    ["Last vote", count(peer.last_vote_round)],
    ["Gave up", gaveUpLately(peer, round)],
    ["Received", bytes(peer.bytes_in)],
    ["Sent", bytes(peer.bytes_out)],
    ["Score", count(peer.score)],
    ["Software", peer.software],
    ["It says of itself", said(peer)],
    ["Last error", peer.last_error],
  ]);
}
