// A cluster and the others around it, drawn twice: wide for desks, tall for telephones (the style chooses).
// Circles are clusters, lines are anchors. The tables beside it say the same to whoever does not see it.

import { el, svg } from "./elements.js";
import { count } from "./words.js";

const DRAWN_MAX = 16;
const NAME_CHARACTERS_MAX = 20;
const LINE = 17;

/** `edges` are {name, kind, words, detail, isDashed}, kind one of the badge colours. */
export function graph(own, edges) {
  const drawn = edges.slice(0, DRAWN_MAX);
  const told = drawn.map((edge) => `${edge.name} is ${edge.words}`).join("; ");
  const words = `${own} and ${count(edges.length)} other clusters: ${told}`;
  const left = edges.length - drawn.length;
  return el(
    "figure",
    {},
    picture("wide", around(drawn.length), own, drawn, words),
    column(own, drawn, words),
    left > 0 ? el("figcaption", { class: "note" }, `${count(left)} more stand in the table.`) : null,
  );
}

/** The others on an ellipse, their words on its outer side. */
function around(others) {
  const [width, height] = [900, others > 6 ? 560 : 370];
  const centre = [width / 2, height / 2];
  // Begun at the left, so that one or two others lie beside the middle and not across its words.
  const turn = Math.PI + (others > 2 ? Math.PI / others : 0);
  const places = Array.from({ length: others }, (_, index) => {
    const angle = turn + (2 * Math.PI * index) / others;
    return [
      centre[0] + Math.cos(angle) * (width / 2 - 120),
      centre[1] + Math.sin(angle) * (height / 2 - 105),
    ];
  });
  return { width, height, centre, places };
}

function picture(kind, { width, height, centre, places }, own, edges, words) {
  return svg(
    "svg",
    { class: `graph ${kind}`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    edges.map((edge, index) => line(centre, places[index], edge)),
    edges.map((edge, index) => {
      const isAbove = places[index][1] < centre[1] - 1;
      return cluster(
        places[index],
        edge.name,
        [edge.words, edge.detail],
        edge.kind,
        isAbove ? "above" : "below",
      );
    }),
    cluster(centre, own, ["this cluster"], "self", "below"),
  );
}

/** The others in one column, as branches of a stem. */
function column(own, edges, words) {
  const [stem, branch, step] = [40, 84, 82];
  const y = (index) => 120 + step * index;
  const height = y(edges.length - 1) + 36;
  return svg(
    "svg",
    { class: "graph tall", viewBox: `0 0 320 ${height}`, role: "img", "aria-label": words },
    svg("line", { class: "edge", x1: stem, y1: 40, x2: stem, y2: y(edges.length - 1) }),
    edges.map((edge, index) => line([stem, y(index)], [branch, y(index)], edge)),
    edges.map((edge, index) =>
      cluster([branch, y(index)], edge.name, [edge.words, edge.detail], edge.kind, "beside"),
    ),
    cluster([stem, 40], own, ["this cluster"], "self", "beside"),
  );
}

function line([x1, y1], [x2, y2], { kind, isDashed, name, words }) {
  return svg(
    "line",
    { class: `edge ${kind}${isDashed ? " dashed" : ""}`, x1: r(x1), y1: r(y1), x2: r(x2), y2: r(y2) },
    svg("title", {}, `${name}: ${words}`),
  );
}

/** `side` is where its words stand: above, below or beside the circle. */
function cluster([x, y], name, notes, kind, side) {
  const shown = name.length > NAME_CHARACTERS_MAX ? `${name.slice(0, NAME_CHARACTERS_MAX - 1)}…` : name;
  const radius = kind === "self" ? 26 : 20;
  const first = {
    above: -(radius + 12 + LINE * notes.length),
    below: radius + 20,
    beside: 5 - (LINE * notes.length) / 2,
  }[side];
  const place = side === "beside" ? { x: radius + 12, "text-anchor": "start" } : { "text-anchor": "middle" };
  return svg(
    "g",
    { class: `cluster ${kind}`, transform: `translate(${r(x)} ${r(y)})` },
    svg("title", {}, name),
    svg("circle", { r: radius }),
    svg("text", { class: "name", y: first, ...place }, shown),
    notes.map((note, index) => svg("text", { class: "note", y: first + LINE * (index + 1), ...place }, note)),
  );
}

const r = (value) => value.toFixed(1);
