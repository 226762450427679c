// Pairs of tracks of which it is unclear whether they are one person: a person confirms or rejects.
import { post } from "./api.js";
import { $, attempt, clock, el, fill, percent, watch } from "./ui.js";

const SMALL = 2000; // tracks that are compared without being asked to
const SHOWN = 20; // suggestions

export class Suggestions {
  constructor(registry) {
    this.registry = registry;
    this.found = null; // not compared yet
    $("#registry-compare").onclick = () => this.compare();
  }

  async opened() {
    if (this.root !== this.registry.root) this.found = null;
    await this.changed();
  }

  // The registry has changed: a small one is compared again, of a large one the suggestions that still hold stay.
  async changed() {
    if (this.root === this.registry.root && this.revision === this.registry.revision) return;
    if (this.registry.total <= SMALL) await this.compare();
    else if (this.found) {
      const known = new Set(this.registry.identities.map((one) => one.name));
      this.found = this.found.filter((one) => known.has(one.one.identity) && known.has(one.other.identity));
      this.refresh();
    }
  }

  async compare() {
    const { root } = this.registry;
    await attempt(async () => {
      const result = await watch((await post("/api/registry/suggestions", { root })).job);
      if (!result || root !== this.registry.root) return;
      [this.found, this.revision, this.root] = [result.suggestions, result.revision, root];
      this.refresh();
    });
  }

  decide(index, same) {
    const asked = this.found?.[index];
    if (!asked) return;
    attempt(async () => {
      const done = await this.registry.change("decide", { one: asked.one.number, other: asked.other.number, same });
      if (!done) return;
      this.found = this.found.filter((one) => one !== asked);
      this.refresh();
    });
  }

  refresh() {
    const { found } = this;
    $("#suggestions-count").textContent = found ? String(found.length) : "–";
    const none = this.registry.revision < 0 ? "" : found ? "No pair of tracks is uncertain." : "All tracks are compared on request: this registry is large.";
    $("#suggestions-facts").textContent = found?.length ? "" : none;
    $("#registry-compare").hidden = this.registry.revision < 0;
    const rows = (found ?? []).slice(0, SHOWN);
    fill($("#suggestions"), [this.root, rows], () => rows.map((one, index) => this.row(one, index)));
  }

  row(asked, index) {
    const { one, other, probability } = asked;
    const inside = one.identity === other.identity;
    const text = inside ? `Does the first track belong to ${one.identity}?` : `Are ${one.identity} and ${other.identity} one person?`;
    const keys = (key) => (index ? null : el("kbd", {}, key));
    return el("li.suggestion", {}, el("div.row.pair", {}, this.side(one), this.side(other)),
      el("p", {}, text, " ", el("span.dim", { title: "estimated from the embeddings" }, `${percent(probability)} probable`)),
      el("div.row", {}, el("button.wide", { onclick: () => this.decide(index, true), title: inside ? "It stays" : "The two become one identity" }, "Same person ", keys("Y")),
        el("button.wide", { onclick: () => this.decide(index, false), title: inside ? "The first track is split off" : "The two are never joined" }, "Different people ", keys("D"))));
  }

  side(side) {
    const { registry } = this;
    const title = `${side.identity}: ${side.video} ${clock(side.first_time)} – ${clock(side.last_time)}, track ${side.track_id}`;
    return el("button.open", { title, onclick: () => registry.open(side.identity) }, registry.crop(side.identity, side.image), el("b", {}, side.identity),
      el("span.dim", {}, `${side.video} ${clock(side.first_time)}`));
  }
}
