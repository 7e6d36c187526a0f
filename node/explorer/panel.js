// A part of a page that shows an answer of the node: while it is fetched, when it failed, and when it came.

import { el, refill } from "./elements.js";
import { Refused } from "./node_api.js";

/**
 * A titled section. `load()` fetches, `show(content)` makes nodes of it; `refresh()` fetches again and changes
 * the section only when the content did, so that reading and selecting are not disturbed.
 */
export function panel(title, { load, show, onMissing, note }) {
  const body = el("div", { class: "body" }, el("p", { class: "empty" }, "Loading …"));
  const element = el(
    "section",
    { class: "panel" },
    title ? el("h2", {}, title) : null,
    note ? el("p", { class: "note" }, note) : null,
    body,
  );
  let shown = null;
  let busy = false;

  async function refresh() {
    if (busy) return;
    busy = true;
    try {
      const content = await load();
      const now = JSON.stringify(content);
      if (now !== shown) {
        redraw(body, show(content));
        shown = now;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      shown = null;
      if (error instanceof Refused && error.status === 404 && onMissing) redraw(body, onMissing(error));
      else redraw(body, failure(error, refresh));
    } finally {
      busy = false;
    }
  }
  return { element, refresh };
}

/** What went wrong, whose fault it is, and the way out. */
export function failure(error, again) {
  if (!(error instanceof Error)) throw error;
  const hint = error instanceof Refused ? error.hint : "";
  return el(
    "div",
    { class: "failure", role: "alert" },
    el("p", {}, sentence(error.message)),
    hint ? el("p", { class: "note" }, hint) : null,
    again ? el("button", { type: "button", class: "quiet", on: { click: again } }, "Try again") : null,
  );
}

/** New children without losing the reader's place: the same link has the focus, the same details are open. */
export function redraw(body, ...children) {
  const held = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const opened = new Map(
    [...body.querySelectorAll("details[data-of]")].map((one) => [one.dataset.of, one.open]),
  );
  refill(body, ...children);
  for (const one of body.querySelectorAll("details[data-of]"))
    one.open = opened.get(one.dataset.of) ?? one.open;
  if (held) [...body.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus();
}

/** Words that end, and begin with a capital unless the first is a name: `docs/a` is not `Docs/a`. */
export function sentence(text) {
  const begun = /^[a-z]+([\s,]|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
