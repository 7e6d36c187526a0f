// Records by their ids, one record with its versions, and a file held against it: all in the browser.

import { badge, el, facts, refill, saveButton, table } from "../elements.js";
import { panel } from "../panel.js";
import { recordPath } from "../node_api.js";
import { hasWebCrypto, hex, sha256 } from "../proofs/hashing.js";
import { bytes, count, counted, moment, short, toBlock, toRecord, toTransaction, whole } from "../words.js";

const PAGE = 25;

export function records({ ask, query, go }) {
  const prefix = query.get("prefix") ?? "";
  const after = query.get("after") ?? "";
  const field = el("input", {
    id: "prefix",
    type: "search",
    value: prefix,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "namespace/",
  });
  const form = el(
    "form",
    { class: "inline", on: { submit } },
    el("label", { for: "prefix" }, "Ids that begin with"),
    field,
    el("button", { type: "submit" }, "Show"),
  );
  function submit(event) {
    event.preventDefault();
    go(`#/records?prefix=${encodeURIComponent(field.value.trim())}`);
  }
  const list = panel(null, {
    load: () => ask("v1/records", { prefix, after, limit: PAGE }),
    show: ({ records: listed, more }) => [
      table("Records", COLUMNS, listed, {
        empty: prefix || after ? "No further record begins so." : "Nobody has put a record yet.",
      }),
      pager(listed, more, prefix, after),
    ],
  });
  return {
    title: "Records",
    nodes: [
      el(
        "p",
        { class: "lead" },
        "A record says who vouched, and when, for content with a certain SHA-256. The content itself is elsewhere.",
      ),
      form,
      list.element,
    ],
    panels: [list],
  };
}

const COLUMNS = [
  { title: "Record", of: (row) => toRecord(row.record_id) },
  { title: "Version", kind: "number", of: ({ decoded }) => count(decoded?.version) },
  { title: "Owner", of: ({ decoded }) => decoded?.owner ?? "–" },
  { title: "Size", kind: "number", of: ({ decoded }) => bytes(decoded?.size) },
  { title: "SHA-256", of: ({ decoded }) => short(decoded?.sha256) },
  { title: "Put", of: ({ decoded }) => (decoded ? moment(decoded.time_ms) : "–") },
];

function pager(listed, more, prefix, after) {
  const begin = `#/records?prefix=${encodeURIComponent(prefix)}`;
  const last = listed[listed.length - 1];
  return el(
    "nav",
    { class: "pager", "aria-label": "More records" },
    after ? el("a", { href: begin }, "From the first") : null,
    more ? el("a", { href: `${begin}&after=${encodeURIComponent(last.record_id)}` }, "Further") : null,
  );
}

export function record({ args, ask, askBytes, query }) {
  const id = args.join("/");
  const path = recordPath(id);
  const before = query.get("before");
  const missing = () => el("p", { class: "empty" }, "There is no such record on this node, or not yet.");
  const newest = panel("Newest version", {
    // Without the height it was read at, which every block changes: a file held against it would be let go.
    load: async () => ({ decoded: (await ask(`v1/records/${path}`)).decoded }),
    show: ({ decoded }) =>
      decoded
        ? showVersion(decoded, id, askBytes, path)
        : el("p", {}, "Of a format that this node does not read."),
    onMissing: missing,
  });
  const versions = panel("Versions", {
    load: async () => {
      const { decoded, more } = await ask(`v1/history/${path}`, { before, limit: PAGE });
      return { decoded, more };
    },
    show: (answer) => showVersions(answer, id),
    onMissing: missing,
  });
  return {
    title: "Record",
    nodes: [el("p", { class: "lead long" }, id), newest.element, versions.element],
    panels: [newest, versions],
  };
}

function showVersion(version, id, askBytes, path) {
  return [
    el(
      "p",
      { class: "actions" },
      el("a", { class: "button", href: `#/proofs/record/${encodeURIComponent(id)}` }, "Check the proof here"),
      saveButton("Download the proof", `${id.replaceAll(/[^A-Za-z0-9.-]+/g, "-")}.bundle`, () =>
        askBytes(`v1/prove/record/${path}`),
      ),
    ),
    facts([
      ["Version", count(version.version)],
      ["Owner", version.owner],
      ["Put", moment(version.time_ms)],
      ["In block", el("span", {}, toBlock(version.height), ", transaction ", toTransaction(version.tx_id))],
      ["Signed by", whole(version.author)],
      ["SHA-256", whole(version.sha256)],
      [
        "Size",
        version.size < 1024
          ? counted(version.size, "byte")
          : `${bytes(version.size)} (${counted(version.size, "byte")})`,
      ],
      ["Schema", version.schema],
      ["Location", version.location],
      [
        "Links",
        version.links.length
          ? el(
              "ul",
              { class: "plain" },
              version.links.map((link) => el("li", {}, toRecord(link))),
            )
          : null,
      ],
      ["Version before", whole(version.previous)],
    ]),
    Object.keys(version.labels).length
      ? [el("h3", {}, "Labels"), facts(Object.entries(version.labels))]
      : null,
    el("h3", {}, "Hold a file against it"),
    fileCheck(version),
  ];
}

/** A file of the reader's, hashed here: it goes nowhere. */
function fileCheck(version) {
  if (!hasWebCrypto())
    return el("p", { class: "note" }, "Browsers hash files on https and loopback pages only.");
  const told = el("p", { role: "status" });
  const field = el("input", { id: "held", type: "file", on: { change } });
  async function change() {
    const [file] = field.files;
    if (!file) return;
    const found = hex(await sha256(new Uint8Array(await file.arrayBuffer())));
    const isSame = found === version.sha256;
    refill(
      told,
      isSame ? badge("good", "the same") : badge("bad", "another"),
      " ",
      isSame ? "This file is the content that the record is about." : "This file has the SHA-256 ",
      isSame ? null : short(found),
    );
  }
  return el(
    "div",
    { class: "held" },
    el("label", { for: "held" }, "A file of yours; it does not leave this machine"),
    field,
    told,
  );
}

function showVersions({ decoded, more }, id) {
  const known = decoded.filter((version) => version !== null);
  const last = known[known.length - 1];
  return [
    table(
      "Versions",
      [
        { title: "Version", of: (version) => count(version.version) },
        { title: "Put", of: (version) => moment(version.time_ms) },
        { title: "Block", of: (version) => toBlock(version.height) },
        { title: "Transaction", of: (version) => toTransaction(version.tx_id) },
        { title: "SHA-256", of: (version) => short(version.sha256) },
        { title: "Size", kind: "number", of: (version) => bytes(version.size) },
      ],
      known,
    ),
    more && last
      ? el(
          "nav",
          { class: "pager", "aria-label": "Older versions" },
          el("a", { href: `#/record/${encodeURIComponent(id)}?before=${last.version}` }, "Older"),
        )
      : null,
  ];
}
