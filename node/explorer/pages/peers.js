// The peers as this node sees them, and itself among them.

import { badge, el, table } from "../elements.js";
import { panel } from "../panel.js";
import { count, short } from "../words.js";

const KNOWN = ["name", "node_key", "address", "connected", "certified_height"];

export function peers({ ask, live }) {
  const list = panel(null, {
    load: async () => ({ peers: await ask("v1/peers"), height: live.status?.certified_height ?? null }),
    show: showPeers,
    onMissing: () => el("p", { class: "empty" }, "This node does not tell its peers."),
  });
  return {
    title: "Peers",
    nodes: [el("p", { class: "lead" }, "Nodes that this one keeps a connection with, or tries to."), list.element],
    panels: [list],
  };
}

function showPeers({ peers: listed, height }) {
  const connected = listed.filter((peer) => peer.connected).length;
  // What newer nodes tell besides is shown under its own name.
  const more = [...new Set(listed.flatMap(Object.keys))].filter((name) => !KNOWN.includes(name));
  return [
    el("p", {}, `${count(connected)} of ${count(listed.length)} connected.`),
    table("Peers", [
      { title: "Name", of: (peer) => el("strong", {}, peer.name) },
      { title: "Connection", of: (peer) => (peer.connected ? badge("good", "connected") : badge("bad", "not connected")) },
      { title: "Address", of: (peer) => peer.address || "–" },
      { title: "Certified height", kind: "number", of: (peer) => heightOf(peer, height) },
      { title: "Node key", of: (peer) => short(peer.node_key) },
      ...more.map((name) => ({ title: name.replaceAll("_", " "), of: (peer) => plain(peer[name]) })),
    ], listed, { empty: "No peer is configured." }),
  ];
}

function heightOf(peer, height) {
  if (peer.certified_height === null) return "not told";
  const behind = height === null ? 0 : height - peer.certified_height;
  return behind > 0 ? `${count(peer.certified_height)} (${count(behind)} behind)` : count(peer.certified_height);
}

function plain(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
