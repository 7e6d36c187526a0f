// A readable selection of /metrics, and all of it by name.

import { el, refill, table } from "../elements.js";
import { panel, redraw } from "../panel.js";
import { count } from "../words.js";

const PERIOD_MS = 5_000;
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;

export function metrics({ askText }) {
  let families = [];
  const field = el("input", {
    id: "filter",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "height, peers, pool …",
    on: { input: () => show() },
  });
  const told = el("p", { class: "note", role: "status" });
  const shown = el("div", {});
  const list = panel(null, {
    load: async () => parse(await askText("metrics")),
    show: (content) => {
      families = content;
      show();
      return [told, shown];
    },
  });
  function show() {
    const wanted = field.value.trim().toLowerCase();
    const found = families.filter(({ name, help }) => `${name} ${help}`.toLowerCase().includes(wanted));
    refill(told, `${count(found.length)} of ${count(families.length)} metrics.`);
    redraw(
      shown,
      groups(found).map(([title, members]) =>
        el(
          "details",
          { open: wanted !== "" || title === "consensus", "data-of": `${title} ${wanted !== ""}` },
          el("summary", {}, el("strong", {}, title), ` ${count(members.length)}`),
          showFamilies(title, members),
        ),
      ),
    );
  }
  return {
    title: "Metrics",
    everyMs: PERIOD_MS,
    nodes: [
      el(
        "p",
        { class: "lead" },
        "What this node measures of itself, for Prometheus at /metrics; here for reading.",
      ),
      el(
        "form",
        { class: "inline", on: { submit: (event) => event.preventDefault() } },
        el("label", { for: "filter" }, "Filter"),
        field,
      ),
      list.element,
    ],
    panels: [list],
  };
}

/** The Prometheus text format as [{name, help, samples: [{labels, value}]}]; histogram buckets are left out. */
export function parse(text) {
  const families = new Map();
  const helps = new Map();
  for (const line of text.split("\n")) {
    const help = /^# HELP (\S+) (.*)$/.exec(line);
    if (help) helps.set(help[1], help[2]);
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found || found[1].endsWith("_bucket") || found[1].endsWith("_created")) continue;
    const [, name, labels = "", value] = found;
    if (!families.has(name)) {
      const family = helps.get(name) ?? helps.get(name.replace(/_(sum|count|total)$/, "")) ?? "";
      families.set(name, { name, help: family, samples: [] });
    }
    families.get(name).samples.push({ labels, value });
  }
  return [...families.values()];
}

/** By the second word of their names: isthmus_consensus_height is one of consensus. */
function groups(families) {
  const found = new Map();
  for (const family of families) {
    const [first, second] = family.name.split("_");
    const title = first === "isthmus" ? second : first;
    found.set(title, [...(found.get(title) ?? []), family]);
  }
  return [...found.entries()].sort(([a], [b]) =>
    a === "consensus" ? -1 : b === "consensus" ? 1 : a.localeCompare(b),
  );
}

function showFamilies(title, families) {
  const rows = families.flatMap(({ name, help, samples }) =>
    samples.map((sample) => ({ name, help, ...sample })),
  );
  return table(
    `Metrics of ${title}`,
    [
      {
        title: "Metric",
        of: (row) => [
          el("code", { class: "long" }, row.name),
          row.labels ? el("span", { class: "note long" }, row.labels) : null,
        ],
      },
      { title: "Value", kind: "number", of: (row) => readable(row.value) },
      { title: "Meaning", of: (row) => el("span", { class: "note" }, row.help) },
    ],
    rows,
  );
}

function readable(text) {
  const value = Number(text);
  if (!Number.isFinite(value)) return text;
  return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(5)));
}
