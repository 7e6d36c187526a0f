// Kept proofs of misbehaviour: of this cluster's validators, and of other clusters that signed two histories.

import { badge, el, saveButton, table } from "../elements.js";
import { panel } from "../panel.js";
import { fromHex } from "../proofs/hashing.js";
import { bytes, count, counted, short, whole } from "../words.js";

const PAGE = 25;
const CLUSTERS_ASKED = 24;

export function evidence({ ask, query }) {
  const after = query.get("after") ?? "";
  const own = panel("Against validators of this cluster", {
    load: () => ask("v1/evidence", { after, limit: PAGE }),
    show: showOwn,
  });
  const others = panel("Against other clusters", { load: () => loadForks(ask), show: showForks });
  return {
    title: "Evidence",
    nodes: [
      el(
        "p",
        { class: "lead" },
        "Signed contradictions that convict a key. Anybody judges them offline: ",
        el("code", {}, "isthmus evidence check FILE --trust CLUSTER_ID"),
      ),
      own.element,
      others.element,
    ],
    panels: [own, others],
  };
}

function showOwn({ total, items, more }) {
  if (!total)
    return el(
      "p",
      { class: "empty" },
      badge("good", "none"),
      " No validator was caught signing what it must not.",
    );
  return [
    el("p", {}, `${counted(total, "piece")} of evidence ${total === 1 ? "is" : "are"} kept.`),
    table(
      "Evidence",
      [
        { title: "Id", of: (item) => whole(item.evidence_id) },
        { title: "Size", kind: "number", of: (item) => bytes(item.evidence.length / 2) },
        {
          title: "Save",
          of: (item) =>
            saveButton("Save", `${item.evidence_id.slice(0, 16)}.evidence`, () => fromHex(item.evidence)),
        },
      ],
      items,
    ),
    more
      ? el(
          "nav",
          { class: "pager", "aria-label": "More evidence" },
          el("a", { href: `#/evidence?after=${items[items.length - 1].evidence_id}` }, "Further"),
        )
      : null,
  ];
}

async function loadForks(ask) {
  const { clusters } = await ask("v1/federation");
  const asked = clusters.slice(0, CLUSTERS_ASKED);
  const answers = await Promise.all(asked.map(({ cluster_id: id }) => ask(`v1/federation/${id}/evidence`)));
  const forks = answers.flatMap(({ forks: listed }, index) =>
    listed.map((fork) => ({ ...fork, name: asked[index].name })),
  );
  return { forks, clusters: clusters.length };
}

function showForks({ forks, clusters }) {
  if (!clusters) return el("p", { class: "empty" }, "This cluster federates with nobody yet.");
  if (!forks.length)
    return el(
      "p",
      { class: "empty" },
      badge("good", "none"),
      ` None of ${counted(clusters, "cluster")} was caught with two histories.`,
    );
  return table(
    "Forks",
    [
      { title: "Cluster", of: (fork) => el("strong", {}, fork.name) },
      { title: "Epoch", kind: "number", of: (fork) => count(fork.epoch) },
      { title: "Id", of: (fork) => short(fork.evidence_id) },
      { title: "Size", kind: "number", of: (fork) => bytes(fork.evidence.length / 2) },
      {
        title: "Save",
        of: (fork) =>
          saveButton("Save", `fork-${fork.evidence_id.slice(0, 16)}.evidence`, () => fromHex(fork.evidence)),
      },
    ],
    forks,
  );
}
