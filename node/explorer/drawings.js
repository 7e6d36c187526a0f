// Two drawings of our own: a line of rates, and shares as bars.

import { el, svg } from "./elements.js";
import { count } from "./words.js";

const WIDTH = 240;
const HEIGHT = 56;

/** Values as a filled line; null leaves a hole. `what` says in words what is drawn. */
export function sparkline(values, what) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(1, ...known);
  const step = WIDTH / Math.max(1, values.length - 1);
  const y = (value) => HEIGHT - 4 - (value / most) * (HEIGHT - 10);
  const runs = [];
  let run = [];
  values.forEach((value, index) => {
    if (value !== null) run.push([index * step, y(value)]);
    else if (run.length) [runs, run] = [[...runs, run], []];
  });
  if (run.length) runs.push(run);
  const words = known.length
    ? `${what}: now ${count(known[known.length - 1])}, at most ${count(Math.max(...known))}`
    : `${what}: not known yet`;
  return svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": words,
    },
    svg("title", {}, words),
    runs.map((points) => {
      const line = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
      const [first, last] = [points[0][0].toFixed(1), points[points.length - 1][0].toFixed(1)];
      return [
        svg("polygon", { class: "under", points: `${first},${HEIGHT} ${line} ${last},${HEIGHT}` }),
        svg("polyline", { class: "line", points: line, "vector-effect": "non-scaling-stroke" }),
      ];
    }),
  );
}

/** A share of a whole as a bar; the number stands beside it, so the bar is decoration. */
export function bar(part, whole, kind = "") {
  const width = whole > 0 ? (100 * part) / whole : 0;
  return el(
    "span",
    { class: `share ${kind}`, "aria-hidden": "true" },
    svg(
      "svg",
      { viewBox: "0 0 100 6", preserveAspectRatio: "none" },
      svg("rect", { class: "all", width: 100, height: 6 }),
      svg("rect", { class: "part", width: Math.min(100, width).toFixed(1), height: 6 }),
    ),
  );
}
