// Watching the node: one question at a time, a second apart, none while nobody looks. When the node does not
// answer the page waits longer each time, and says so. Everything kept is bounded.

import { ask, askReadiness } from "./node_api.js";

export const WINDOW_SECONDS = 60;
const PERIOD_MS = 1_000;
const READINESS_EVERY = 5;
const BLOCKS_KEPT = 400;
const BLOCKS_ASKED = 100;
const BACK_OFF_SECONDS = [1, 2, 4, 8, 15, 30];

/** `status`, `readiness` and `blocks` (newest first) as last told; listeners hear of each change. */
export class Live {
  constructor() {
    this.status = null;
    this.readiness = null;
    this.blocks = [];
    this.failures = 0;
    this.retrySeconds = 0;
    this.problem = "";
    this.listeners = new Set();
    this.rounds = 0;
    this.wake = () => {};
    document.addEventListener("visibilitychange", () => this.wake());
  }

  /** Call `listener` now and whenever something changed; the answer ends it. */
  listen(listener) {
    this.listeners.add(listener);
    listener();
    return () => this.listeners.delete(listener);
  }

  /** Ask at once, whatever is being waited for. */
  retry() {
    this.retrySeconds = 0;
    this.wake();
  }

  /** For as long as the page is open. */
  async run() {
    for (;;) {
      if (document.hidden) await this.sleep(60_000);
      else if (this.retrySeconds > 0) {
        await this.sleep(1_000);
        this.retrySeconds = Math.max(0, this.retrySeconds - 1);
        this.tell();
      } else {
        await this.look();
        await this.sleep(PERIOD_MS);
      }
    }
  }

  async look() {
    try {
      const status = await ask("v1/status");
      if (this.rounds++ % READINESS_EVERY === 0 || this.failures) this.readiness = await askReadiness();
      await this.fetchBlocks(status.stored_height);
      this.status = status;
      this.failures = 0;
      this.problem = "";
    } catch (error) {
      this.retrySeconds = BACK_OFF_SECONDS[Math.min(this.failures++, BACK_OFF_SECONDS.length - 1)];
      this.problem = error.message;
    }
    this.tell();
  }

  /** The heights up to `height`, and those that came meanwhile. */
  async fetchBlocks(height) {
    const known = this.blocks.length ? this.blocks[0].height : -1;
    if (height === known) return;
    const wanted = known < 0 ? BLOCKS_ASKED : Math.min(BLOCKS_ASKED, Math.max(1, height - known));
    const { blocks } = await ask("v1/blocks", { query: { limit: wanted } });
    if (!blocks.length) return;
    const missed = oldest(blocks) - known - 1;
    if (known >= 0 && 0 < missed && missed <= BLOCKS_ASKED) {
      const { blocks: more } = await ask("v1/blocks", { query: { before: oldest(blocks), limit: missed } });
      blocks.push(...more);
    }
    // Nothing is kept across heights that were missed all the same: a rate over a hole would be a wrong one.
    const kept = oldest(blocks) <= known + 1 ? this.blocks.filter((one) => one.height < oldest(blocks)) : [];
    this.blocks = [...blocks, ...kept].slice(0, BLOCKS_KEPT);
  }

  /** Transactions certified in each of the last seconds of cluster time, oldest first; null where unknown. */
  rates() {
    if (!this.status) return [];
    const end = Math.floor(this.status.time_ms / 1_000);
    const sums = new Array(WINDOW_SECONDS).fill(0);
    for (const block of this.blocks) {
      const place = Math.floor(block.decoded.time_ms / 1_000) - end + WINDOW_SECONDS - 1;
      if (place >= 0 && place < WINDOW_SECONDS) sums[place] += block.transactions ?? 0;
    }
    const first = this.blocks[this.blocks.length - 1];
    if (!first || first.height === 0) return sums;
    const since = Math.floor(first.decoded.time_ms / 1_000) - end + WINDOW_SECONDS;
    return sums.map((sum, place) => (place < since ? null : sum));
  }

  tell() {
    for (const listener of [...this.listeners]) listener();
  }

  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const live = this;
      function done() {
        clearTimeout(timer);
        live.wake = () => {};
        resolve();
      }
      this.wake = done;
    });
  }
}

const oldest = (blocks) => blocks[blocks.length - 1].height;
