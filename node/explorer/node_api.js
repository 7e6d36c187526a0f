// What the page asks of its node: JSON answers, each within a bounded time and of a bounded size of question.

const TIMEOUT_MS = 10_000;
const ROOT = new URL(".", document.baseURI);

/** The node answered, and said no: `name`, `message` and `hint` are its own words. */
export class Refused extends Error {
  constructor(status, { name = "unknown", message = "no reason was given", hint = "" } = {}) {
    super(message);
    Object.assign(this, { status, label: String(name), hint: String(hint) });
  }
}

/** There was no answer, or none that makes sense. */
export class Unreachable extends Error {}

/** The JSON of `v1/...`; `query` names parameters, those without a value are left out. */
export async function ask(path, { query = {}, signal } = {}) {
  return (await get(path, query, signal, "application/json")).json();
}

/** The bytes of a file, a bundle for instance. */
export async function askBytes(path, { query = {}, signal } = {}) {
  return new Uint8Array(await (await get(path, query, signal, "*/*")).arrayBuffer());
}

export async function askText(path, { signal } = {}) {
  return (await get(path, {}, signal, "text/plain, */*")).text();
}

/** `/readyz` says no with a status of its own: both answers are answers. */
export async function askReadiness({ signal } = {}) {
  const answer = await fetchBounded("readyz", {}, signal, "application/json");
  return answer.json();
}

async function get(path, query, signal, accept) {
  const answer = await fetchBounded(path, query, signal, accept);
  if (answer.ok) return answer;
  let told;
  try {
    told = await answer.json();
  } catch {
    throw new Unreachable(`the node answered with status ${answer.status} and no reason`);
  }
  throw new Refused(answer.status, told);
}

async function fetchBounded(path, query, signal, accept) {
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") address.searchParams.set(name, value);
  }
  const signals = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  try {
    return await fetch(address, { headers: { accept }, signal: AbortSignal.any(signals), cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable(
      error.name === "TimeoutError" ? "the node did not answer in time" : "the node is not reachable",
    );
  }
}

/** A record's id in a path: its slashes stay, all else is encoded. */
export const recordPath = (id) => id.split("/").map(encodeURIComponent).join("/");
