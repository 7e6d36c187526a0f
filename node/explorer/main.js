// The page's frame: which page is shown is the address's fragment (`#/block/7`), and everything on it belongs
// to that page's life: leaving it ends its questions.

import { el, refill } from "./elements.js";
import { Live } from "./live.js";
import { ask, askBytes, askText } from "./node_api.js";
import { counted, whole } from "./words.js";
import { find } from "./search.js";
import { overview } from "./pages/overview.js";
import { block, blocks } from "./pages/blocks.js";
import { transaction } from "./pages/transaction.js";
import { record, records } from "./pages/records.js";
import { proofs } from "./pages/proofs.js";
import { federation } from "./pages/federation.js";
import { governance } from "./pages/governance.js";
import { evidence } from "./pages/evidence.js";
import { peers } from "./pages/peers.js";
import { metrics } from "./pages/metrics.js";

const REFRESH_MS = 2_000;
const PAGES = [
  { name: "", title: "Overview", page: overview },
  { name: "blocks", title: "Blocks", page: blocks, also: ["block", "tx"] },
  { name: "records", title: "Records", page: records, also: ["record"] },
  { name: "proofs", title: "Proofs", page: proofs },
  { name: "federation", title: "Federation", page: federation },
  { name: "governance", title: "Governance", page: governance },
  { name: "evidence", title: "Evidence", page: evidence },
  { name: "peers", title: "Peers", page: peers },
  { name: "metrics", title: "Metrics", page: metrics },
];
const DETAILS = { block, tx: transaction, record };
const at = (id) => document.getElementById(id);
const live = new Live();
let leave = () => {};

/** `#/name/argument?query` as {name, args, query}; what cannot be decoded is no page. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  try {
    const [name, ...args] = path.split("/").map(decodeURIComponent);
    return { name, args, query: new URLSearchParams(query) };
  } catch {
    return { name: "?", args: [], query: new URLSearchParams() };
  }
}

function show() {
  leave();
  const { name, args, query } = place();
  const listed = PAGES.find((page) => page.name === name);
  const make = listed?.page ?? (args.length ? DETAILS[name] : undefined) ?? nowhere;
  const ending = new AbortController();
  const { signal } = ending;
  const context = {
    args,
    query,
    live,
    signal,
    ask: (path, parameters) => ask(path, { query: parameters, signal }),
    askBytes: (path, parameters) => askBytes(path, { query: parameters, signal }),
    askText: (path) => askText(path, { signal }),
    go: (fragment) => {
      location.hash = fragment;
    },
  };
  const page = make(context);
  document.title = `${page.title} · Isthmus`;
  refill(at("content"), el("h1", { tabindex: "-1" }, page.title), page.nodes);
  mark(name);
  window.scrollTo(0, 0);
  leave = run(page, ending);
}

/** Refresh the page's panels now, whenever the chain grew, and every so often where the page asks for it. */
function run(page, ending) {
  const panels = page.panels ?? [];
  for (const panel of panels) panel.refresh();
  let height = live.status?.stored_height;
  let refreshed = performance.now();
  const end = live.listen(() => {
    page.tick?.();
    const now = performance.now();
    const isNew = live.status?.stored_height !== height && !page.isStill && now - refreshed >= REFRESH_MS;
    if (live.problem || !(isNew || now - refreshed >= (page.everyMs ?? Infinity))) return;
    [height, refreshed] = [live.status?.stored_height, now];
    for (const panel of panels) panel.refresh();
  });
  return () => {
    end();
    ending.abort();
  };
}

function nowhere() {
  return {
    title: "Not found",
    nodes: [el("p", {}, "There is no such page. ", el("a", { href: "#/" }, "To the overview"))],
  };
}

function mark(name) {
  refill(
    at("pages"),
    PAGES.map((page) => {
      const isHere = page.name === name || page.also?.includes(name);
      return el("a", { href: `#/${page.name}`, "aria-current": isHere ? "page" : null }, page.title);
    }),
  );
  const nav = at("pages");
  const current = nav.querySelector("[aria-current]");
  if (current) nav.scrollLeft = current.offsetLeft - nav.offsetLeft - 16;
}

/** How the node answers, in the frame of every page. */
function showConnection() {
  const { status, readiness, problem, retrySeconds } = live;
  const [kind, words] = problem
    ? ["bad", retrySeconds ? `Reconnecting in ${retrySeconds} s` : "Reconnecting …"]
    : !status
      ? ["wait", "Connecting …"]
      : readiness && !readiness.ready
        ? ["warn", "Not ready"]
        : ["good", "Live"];
  const line = at("connection");
  if (line.dataset.words !== words) {
    line.dataset.words = words;
    line.className = `connection ${kind}`;
    refill(line, words);
  }
  showNotice();
  if (!status) return;
  refill(at("cluster"), status.cluster_name);
  const facts = `${status.node_name} · ${status.version} · ${status.is_validator ? "validator" : "observer"}`;
  if (at("foot").dataset.facts === facts) return;
  at("foot").dataset.facts = facts;
  refill(
    at("foot"),
    el(
      "p",
      {},
      `Served by ${facts}. Everything here is what this one node says; `,
      el("a", { href: "#/proofs" }, "proofs"),
      " are what anybody can check.",
    ),
    el("p", {}, "Cluster id ", whole(status.cluster_id)),
  );
}

function showNotice() {
  const { problem, readiness, status } = live;
  const told = problem
    ? [`No answer: ${problem}.`, counted(live.failures, "attempt")]
    : readiness && !readiness.ready
      ? readiness.reasons
      : status?.is_diverged
        ? ["This node's ledger differs from that of the others: do not rely on what it shows."]
        : [];
  const notice = at("notice");
  const words = told.join(" ");
  if (notice.dataset.words === words) return;
  notice.dataset.words = words;
  notice.hidden = !told.length;
  const again = problem
    ? el("button", { type: "button", class: "quiet", on: { click: () => live.retry() } }, "Try now")
    : null;
  refill(
    notice,
    told.map((line) => el("span", {}, line)),
    again,
  );
}

at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("content").focus();
});
at("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = at("wanted");
  const fragment = await find(field.value.trim());
  if (fragment) {
    location.hash = fragment;
    field.value = "";
  }
});
window.addEventListener("hashchange", () => {
  show();
  at("content").focus({ preventScroll: true });
});
show();
live.listen(showConnection);
live.run();
