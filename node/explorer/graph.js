// A cluster and the others around it, drawn: circles are clusters, lines are anchors. The tables beside it say
// the same to whoever does not see it.

import { el, svg } from "./elements.js";
import { count } from "./words.js";

const DRAWN_MAX = 16;
const NAME_CHARACTERS_MAX = 18;
const WIDTH = 720;

/** `edges` are {name, kind, words, detail, isDashed}, kind one of the badge colours. */
export function graph(own, edges) {
  const drawn = edges.slice(0, DRAWN_MAX);
  const height = drawn.length > 4 ? 460 : 360;
  const centre = [WIDTH / 2, height / 2];
  const places = drawn.map((_, index) => {
    // Begun at the left, so that one, two or four others lie beside the middle and not above its words.
    const angle = Math.PI + (2 * Math.PI * index) / drawn.length + (drawn.length > 2 ? Math.PI / drawn.length : 0);
    return [centre[0] + Math.cos(angle) * (WIDTH / 2 - 110), centre[1] + Math.sin(angle) * (height / 2 - 70)];
  });
  const words = `${own} and ${count(edges.length)} other clusters: ${drawn.map((edge) => `${edge.name} is ${edge.words}`).join("; ")}`;
  const picture = svg("svg", { class: "graph", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": words },
    drawn.map((edge, index) => line(centre, places[index], edge)),
    drawn.map((edge, index) => cluster(places[index], edge.name, [edge.words, edge.detail], edge.kind)),
    cluster(centre, own, ["this cluster"], "self"));
  const left = edges.length - drawn.length;
  return el("figure", {}, picture, left > 0 ? el("figcaption", { class: "note" }, `${count(left)} more stand in the table.`) : null);
}

function line([x1, y1], [x2, y2], { kind, isDashed, name, words }) {
  return svg("line", { class: `edge ${kind}${isDashed ? " dashed" : ""}`, x1: r(x1), y1: r(y1), x2: r(x2), y2: r(y2) },
    svg("title", {}, `${name}: ${words}`));
}

function cluster([x, y], name, notes, kind) {
  const shown = name.length > NAME_CHARACTERS_MAX ? `${name.slice(0, NAME_CHARACTERS_MAX - 1)}…` : name;
  return svg("g", { class: `cluster ${kind}`, transform: `translate(${r(x)} ${r(y)})` }, svg("title", {}, name),
    svg("circle", { r: kind === "self" ? 30 : 22 }),
    svg("text", { class: "name", y: kind === "self" ? 52 : 42, "text-anchor": "middle" }, shown),
    notes.map((note, index) => svg("text", { class: "note", y: (kind === "self" ? 70 : 60) + 17 * index, "text-anchor": "middle" }, note)));
}

const r = (value) => value.toFixed(1);
