// The only way into the document. Text becomes text nodes, never markup; attributes are those named here or by
// the caller's own code, and addresses lead into this page or to files made in it. What stands on the ledger
// was written by others: nothing of it can become an element, a script or a link elsewhere.

const SVG = "http://www.w3.org/2000/svg";
/** Characters that show nothing or turn the direction of what follows, so that `exe.jpg` may be `gpj.exe`. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const LINKS = /^(#|blob:)/;

/** An element: `el("p", { class: "calm", on: { click } }, "text", child, [more])`; null children are left out. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (/^(on|style$|src)/i.test(name)) throw new TypeError(`the attribute ${name} is never set from here`);
    if (name === "href" && !LINKS.test(value)) throw new TypeError("links lead into this page only");
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) {
      element.append(document.createTextNode(seen(String(child))));
    }
  }
}

/** `text` with each of the unseen as its code. */
function seen(text) {
  return text.replace(UNSEEN, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Give `element` these children instead of its own. */
export function refill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * A table that narrow screens show as cards, unless it is narrow itself; `columns` are {title, of, kind} with
 * `of(row)` a cell's content, the kinds `number` and `wide` (only where there is room).
 */
export function table(caption, columns, rows, { empty = "Nothing yet.", isNarrow = false } = {}) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  return el(
    "table",
    { class: isNarrow ? "rows" : "rows cards" },
    el("caption", { class: "unseen" }, caption),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        columns.map(({ title, kind }) => el("th", { scope: "col", class: kind }, title)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map((row) =>
        el(
          "tr",
          {},
          columns.map(({ title, of, kind }) =>
            el("td", { class: kind, "data-title": title }, el("span", { class: "cell" }, of(row))),
          ),
        ),
      ),
    ),
  );
}

/** Names and values as a definition list; rows without a value are left out. */
export function facts(rows) {
  const kept = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    kept.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** A word with a colour and a mark of its own, so that colour alone says nothing. */
export function badge(kind, ...words) {
  return el("span", { class: `badge ${kind}` }, ...words);
}

/** A button that saves bytes as a file. */
export function saveButton(label, name, fetchBytes) {
  const button = el("button", { type: "button", class: "quiet", on: { click: save } }, label);
  async function save() {
    button.disabled = true;
    try {
      const address = URL.createObjectURL(
        new Blob([await fetchBytes()], { type: "application/octet-stream" }),
      );
      el("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } catch (error) {
      button.textContent = `${label}: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  }
  return button;
}
