// The other clusters as this one holds them: a graph, the anchors, the lanes, the evidence against them.

import { badge, el, table } from "../elements.js";
import { graph } from "../graph.js";
import { panel } from "../panel.js";
import { count, duration, moment, short, toBlock } from "../words.js";

const CLUSTERS_ASKED = 24;

/** How each status is shown: [colour, words]. */
export const STATUSES = {
  active: ["good", "active"],
  stale: ["warn", "stale"],
  pending: ["calm", "pending"],
  frozen: ["bad", "frozen"],
  retired: ["calm", "retired"],
};
const statusOf = (cluster) => STATUSES[cluster.status] ?? ["calm", cluster.status];

export function federation({ ask }) {
  const load = shared(() => ask("v1/federation"));
  const drawing = panel("Who anchors whom", {
    load: async () => {
      const [{ clusters }, { cluster_name: own }] = await Promise.all([load(), ask("v1/status")]);
      return { clusters, own };
    },
    show: showGraph,
    note: "Lines are anchors: how far this cluster follows another, and how old the newest header is.",
  });
  const anchors = panel("Anchors", { load, show: showAnchors });
  const lanes = panel("Lanes", {
    load: async () => loadLanes(ask, await load()),
    show: showLanes,
    note: "Messages between clusters, each delivered once and acknowledged back.",
  });
  return {
    title: "Federation",
    nodes: [drawing.element, anchors.element, lanes.element],
    panels: [drawing, anchors, lanes],
  };
}

/** One answer for all panels that ask within a second. */
function shared(fetch) {
  let [asked, answer] = [-Infinity, null];
  return () => {
    if (performance.now() - asked > 1_000) [asked, answer] = [performance.now(), fetch()];
    return answer;
  };
}

function showGraph({ clusters, own }) {
  if (!clusters.length) {
    return el(
      "p",
      { class: "empty" },
      "This cluster federates with nobody yet: isthmus federation invite begins it.",
    );
  }
  const edges = clusters.map((cluster) => ({
    name: cluster.name,
    kind: statusOf(cluster)[0],
    words: `${statusOf(cluster)[1]}, ${duration(cluster.age_ms)} old`,
    detail: `height ${count(cluster.height)}`,
    isDashed: cluster.is_parked || cluster.status === "stale",
  }));
  return [graph(own, edges), legend()];
}

function legend() {
  return el(
    "ul",
    { class: "legend" },
    Object.values(STATUSES).map(([kind, words]) => el("li", {}, badge(kind, words))),
  );
}

function showAnchors({ clusters, time_ms: now, stale_after_ms: stale }) {
  return [
    table(
      "Anchors",
      [
        { title: "Cluster", of: (cluster) => el("strong", {}, cluster.name) },
        {
          title: "Status",
          of: (cluster) => [
            badge(...statusOf(cluster)),
            cluster.is_parked ? badge("warn", "parked") : null,
            cluster.accused.length ? badge("bad", `${cluster.accused.length} accused`) : null,
          ],
        },
        { title: "Its height", kind: "number", of: (cluster) => count(cluster.height) },
        { title: "Age", kind: "number", of: (cluster) => duration(cluster.age_ms) },
        { title: "Epoch", kind: "number", of: (cluster) => count(cluster.epoch) },
        { title: "Anchored here at", kind: "number", of: (cluster) => toBlock(cluster.anchored_height) },
        { title: "Its header", of: (cluster) => short(cluster.header_hash) },
        { title: "Cluster id", of: (cluster) => short(cluster.cluster_id) },
      ],
      clusters,
      { empty: "No other cluster was ever admitted." },
    ),
    clusters.length
      ? el(
          "p",
          { class: "note" },
          `As of `,
          moment(now),
          `. An anchor is stale after ${duration(stale)} without news.`,
        )
      : null,
  ];
}

async function loadLanes(ask, { clusters }) {
  const names = Object.fromEntries(clusters.map((cluster) => [cluster.cluster_id, cluster.name]));
  const asked = clusters.slice(0, CLUSTERS_ASKED);
  const answers = await Promise.all(asked.map(({ cluster_id: id }) => ask(`v1/federation/${id}/lanes`)));
  return { names, lanes: answers.flatMap((answer) => answer.lanes), left: clusters.length - asked.length };
}

function showLanes({ names, lanes, left }) {
  const name = (id) => names[id] ?? "this cluster";
  return [
    table(
      "Lanes",
      [
        { title: "From", of: (lane) => name(lane.source) },
        { title: "To", of: (lane) => name(lane.destination) },
        { title: "Port", of: (lane) => `${lane.port} (${lane.mode})` },
        { title: "Sent", kind: "number", of: (lane) => (lane.is_outgoing ? count(lane.sent) : "–") },
        { title: "Acknowledged", kind: "number", of: (lane) => (lane.is_outgoing ? count(lane.acked) : "–") },
        { title: "Pending", kind: "number", of: (lane) => (lane.is_outgoing ? pending(lane) : "–") },
        { title: "Received", kind: "number", of: (lane) => (lane.is_outgoing ? "–" : count(lane.received)) },
        {
          title: "Oldest until",
          of: (lane) => (lane.oldest_deadline_ms === null ? "–" : moment(lane.oldest_deadline_ms)),
        },
      ],
      lanes,
      { empty: "No message went to or came from another cluster yet." },
    ),
    left > 0
      ? el("p", { class: "note" }, `The lanes with ${count(left)} more clusters are told by isthmus lanes.`)
      : null,
  ];
}

const pending = (lane) => (lane.pending ? badge("warn", count(lane.pending)) : count(0));
