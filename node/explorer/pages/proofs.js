// Proofs checked in this browser: of a transaction, a record, a header of this node, or of any bundle at hand.

import { badge, el, facts, refill, saveButton } from "../elements.js";
import { failure } from "../panel.js";
import { recordPath } from "../node_api.js";
import { INCOMPLETE, REFUSED, VERIFIED, checkBundle } from "../proofs/checking.js";
import { fromHex, hex } from "../proofs/hashing.js";
import { readRecord } from "../proofs/shapes.js";
import { bytes, count, counted, moment, toBlock, toRecord, toTransaction, whole } from "../words.js";

const PINNED = "isthmus.trust";
const SUBJECTS = {
  tx: (id) => ({
    path: `v1/prove/tx/${encodeURIComponent(id)}`,
    words: "a transaction",
    name: `tx-${id.slice(0, 16)}`,
    shown: id,
  }),
  record: (id) => ({
    path: `v1/prove/record/${recordPath(id)}`,
    words: "a record",
    name: id.replaceAll(/[^A-Za-z0-9.-]+/g, "-"),
    shown: id,
  }),
  header: (height) => ({
    path: `v1/prove/header/${encodeURIComponent(height)}`,
    words: "a header",
    name: `header-${height}`,
    shown: height,
  }),
};
const VERDICTS = {
  [VERIFIED]: [
    "good",
    "Verified",
    "Everything from the genesis above to the fact was checked in this browser.",
  ],
  [REFUSED]: ["bad", "Refused", "This proves nothing: the step below failed."],
  [INCOMPLETE]: ["warn", "Not fully checked", "Nothing failed, but this browser could not check all of it."],
};
const SIGNS = { ok: ["good", "checked"], failed: ["bad", "failed"], skipped: ["warn", "not checked"] };

export function proofs({ args, askBytes, ask, go }) {
  const subject = SUBJECTS[args[0]]?.(args.slice(1).join("/"));
  const result = el("div", { class: "result", "aria-live": "polite" });
  const trust = trustField(ask, () => check());
  let source = null;
  let turns = 0;

  /** Take a bundle from `fetchBundle` and judge it; `name` is for saving it. */
  async function take(fetchBundle, name) {
    refill(result, el("p", { class: "empty" }, "Checking …"));
    try {
      source = { data: await fetchBundle(), name };
      await check();
    } catch (error) {
      if (error.name === "AbortError") return;
      source = null;
      refill(
        result,
        failure(error, () => take(fetchBundle, name)),
      );
    }
  }
  /** Judge the bundle at hand anew; of several at once only the newest is shown. */
  async function check() {
    const turn = ++turns;
    const pinned = await trust.value();
    if (source === null || turn !== turns) return;
    if (pinned === null) {
      refill(
        result,
        el("p", { class: "failure", role: "alert" }, "The genesis hash must be 64 hexadecimal digits."),
      );
      return;
    }
    const { data, name } = source;
    const judged = await checkBundle(data, pinned);
    if (turn !== turns) return;
    refill(
      result,
      showResult(judged, hex(pinned) === localStorage.getItem(PINNED)),
      saveButton(`Save the bundle (${bytes(data.length)})`, `${name}.bundle`, () => data),
    );
  }
  const start = () => {
    if (subject) take(() => askBytes(subject.path), subject.name);
  };
  return {
    title: "Proofs",
    nodes: [
      el(
        "p",
        { class: "lead" },
        "A bundle leads from the hash of a genesis to one fact. Your browser checks every step of it.",
      ),
      el("section", { class: "panel" }, el("h2", {}, "What you trust"), trust.element),
      el(
        "section",
        { class: "panel" },
        el("h2", {}, subject ? `Proof of ${subject.words}` : "A proof"),
        subject ? el("p", { class: "long" }, el("code", {}, subject.shown)) : chooser(go),
        result,
      ),
      el("section", { class: "panel" }, el("h2", {}, "A bundle of yours"), upload(take)),
      el(
        "section",
        { class: "panel" },
        el("h2", {}, "Without this page"),
        el(
          "p",
          {},
          "This page came from the node that you ask, and a dishonest node could send one that lies. ",
          "Save the bundle and check it with software from elsewhere:",
        ),
        el("pre", { tabindex: "0" }, "isthmus verify FILE.bundle --trust GENESIS_HASH"),
      ),
    ],
    panels: [{ refresh: once(start) }],
    isStill: true,
  };
}

const once = (action) => {
  let isDone = false;
  return async () => {
    if (isDone) return;
    isDone = true;
    await action();
  };
};

/** The pinned genesis hash: the reader's own where there is one, else what this node says. */
function trustField(ask, changed) {
  // Of several lines where it is narrow: a hash is compared whole.
  const field = el("textarea", {
    id: "trust",
    class: "hash",
    rows: "2",
    spellcheck: "false",
    autocomplete: "off",
    on: { input },
  });
  const typed = () => field.value.replaceAll(/\s/g, "").toLowerCase();
  const told = el("p", { class: "note", role: "status" });
  let own = null;
  const ready = (async () => {
    const pinned = localStorage.getItem(PINNED);
    try {
      own = (await ask("v1/genesis")).cluster_id;
    } catch (error) {
      if (error.name !== "AbortError") refill(told, error.message);
    }
    field.value = pinned ?? own ?? "";
    tell();
  })();
  function tell() {
    const pinned = localStorage.getItem(PINNED);
    if (pinned && typed() === pinned)
      refill(
        told,
        badge("good", "pinned by you"),
        " Kept in this browser.",
        pinned === own || own === null ? null : " This node belongs to another cluster.",
      );
    else if (typed() === own)
      refill(
        told,
        badge("warn", "as this node says"),
        " Compare it with one that you got from elsewhere, an operator for instance, and pin it.",
      );
    else refill(told, badge("calm", "not pinned"));
  }
  function input() {
    tell();
    changed();
  }
  function pin() {
    if (isHash(typed())) localStorage.setItem(PINNED, typed());
    field.value = typed();
    tell();
    changed();
  }
  function unpin() {
    localStorage.removeItem(PINNED);
    field.value = own ?? "";
    tell();
    changed();
  }
  return {
    element: el(
      "div",
      {},
      el("label", { for: "trust" }, "Genesis hash (the cluster's id)"),
      field,
      el(
        "p",
        { class: "actions" },
        el("button", { type: "button", on: { click: pin } }, "Pin it"),
        el("button", { type: "button", class: "quiet", on: { click: unpin } }, "Forget the pin"),
      ),
      told,
    ),
    async value() {
      await ready;
      return isHash(typed()) ? fromHex(typed()) : null;
    },
  };
}

const isHash = (text) => /^[0-9a-fA-F]{64}$/.test(text);

function chooser(go) {
  const field = el("input", {
    id: "subject",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "Height, transaction id or record id",
  });
  function submit(event) {
    event.preventDefault();
    const wanted = field.value.trim();
    if (!wanted) return;
    const kind = /^\d+$/.test(wanted) ? "header" : isHash(wanted) ? "tx" : "record";
    go(`#/proofs/${kind}/${encodeURIComponent(wanted)}`);
  }
  return el(
    "form",
    { class: "inline", on: { submit } },
    el("label", { for: "subject" }, "Of what"),
    field,
    el("button", { type: "submit" }, "Fetch and check"),
  );
}

function upload(take) {
  const field = el("input", { id: "bundle", type: "file", on: { change } });
  function change() {
    const [file] = field.files;
    if (file) take(async () => new Uint8Array(await file.arrayBuffer()), file.name.replace(/\.bundle$/, ""));
  }
  return el(
    "div",
    { class: "held" },
    el("label", { for: "bundle" }, "A bundle file; it does not leave this machine"),
    field,
  );
}

function showResult({ verdict, steps, notChecked, found }, isPinned) {
  const [kind, word, judged] = VERDICTS[verdict];
  const sentence = verdict === VERIFIED && !isPinned ? `${judged} You have not pinned that genesis.` : judged;
  return [
    el(
      "div",
      { class: `verdict ${kind}`, "data-verdict": verdict },
      el("strong", {}, word),
      el("span", {}, sentence),
    ),
    found ? [el("h3", {}, verdict === VERIFIED ? "What is proven" : "What it says"), showFound(found)] : null,
    el("h3", {}, "What was checked"),
    el(
      "ol",
      { class: "steps" },
      steps.map(({ name, state, sentence: told }) =>
        el("li", {}, badge(...SIGNS[state]), el("strong", {}, name), el("span", { class: "long" }, told)),
      ),
    ),
    notChecked.length
      ? [
          el("h3", {}, "What no bundle can settle"),
          el(
            "ul",
            { class: "limits" },
            notChecked.map((line) => el("li", {}, line)),
          ),
        ]
      : null,
  ];
}

function showFound({ kind, cluster, header, fact }) {
  const where = [
    ["Cluster", cluster],
    ["Header", toBlock(header.height)],
    ["Cluster time", moment(header.timeMs)],
  ];
  if (kind === "transaction") {
    const { transaction, receipt } = fact;
    return facts([
      ...where,
      ["Transaction", toTransaction(hex(transaction.id))],
      ["Call", `${transaction.app}.${transaction.method}`],
      ["Signed by", whole(hex(transaction.sender))],
      [
        "Outcome",
        receipt.status === 0
          ? badge("good", "took effect")
          : badge("bad", `failed with status ${receipt.status}`),
      ],
    ]);
  }
  if (kind === "state") return facts([...where, ...showEntry(fact)]);
  return facts([...where, ["Header hash", whole(hex(header.hash))]]);
}

function showEntry({ key, value }) {
  const name = new TextDecoder().decode(key);
  if (value === null)
    return [
      ["Key", name],
      ["Value", "nothing: there is no such entry"],
    ];
  const version = name.startsWith("records/") ? readRecord(value) : null;
  if (version === null)
    return [
      ["Key", name],
      ["Value", whole(hex(value))],
    ];
  return [
    ["Record", name.startsWith("records/current/") ? toRecord(name.slice("records/current/".length)) : name],
    ["Version", count(version.number)],
    ["Owner", version.owner],
    ["SHA-256", whole(hex(version.sha256))],
    ["Size", counted(version.size, "byte")],
    ["Schema", version.schema],
    ["Location", version.location],
    ["Put", moment(version.timeMs)],
  ];
}
