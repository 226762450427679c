// The identities of a registry: a grid, the tracks of one, and what a person changes in them.
import { address, get, post } from "./api.js";
import { BoxTool } from "./box.js";
import { RegistrySearch } from "./registry_search.js";
import { Suggestions } from "./registry_suggestions.js";
import { $, attempt, clock, confirmed, counted, el, fill, named, toast } from "./ui.js";

const PAGE = 240; // cards that are shown at once
const ORDERS = {
  first: () => 0,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  tracks: (a, b) => b.tracks - a.tracks,
  videos: (a, b) => b.videos - a.videos,
  confidence: (a, b) => (a.confidence ?? 1) - (b.confidence ?? 1),
};

export class Registry {
  constructor(studio) {
    this.studio = studio;
    this.turn = 0;
    this.clear();
    this.tool = new BoxTool(studio.view, { changed: () => this.search.boxChanged(), clicked: () => this.tool.set(null) });
    this.search = new RegistrySearch(this);
    this.suggestions = new Suggestions(this);
    $("#registry-filter").oninput = $("#registry-sort").onchange = () => this.list(PAGE);
    $("#registry-more").onclick = () => this.list(this.shown + PAGE);
    $("#registry-merge").onclick = () => this.merge();
    $("#registry-clear").onclick = () => this.select([]);
    $("#registry-undo").onclick = () => this.undo();
    $("#registry-split").onclick = () => this.split();
    $("#registry-move").onclick = () => this.move();
    $("#registry-forget").onclick = () => this.forget();
    $("#registry-close").onclick = () => this.open("");
    $("#registry-name").onclick = () => this.rename();
    $("#registry-people").onclick = () => this.cover(true);
    $("#registry-frames").onclick = () => this.cover(false);
    $("#registry-video").onchange = (event) => this.show(event.target.value, 0);
    $("#registry-grid").onkeydown = (event) => this.walk(event);
  }

  clear() {
    Object.assign(this, { identities: [], videos: [], model: {}, revision: -1, undoable: "", error: "", covered: true, shown: PAGE });
    [this.chosen, this.opened_, this.picked] = [new Set(), null, new Set()]; // names; {name, tracks, seconds}; rows of tracks
  }

  get root() {
    return this.studio.state.registry ?? "";
  }

  // -- state ----------------------------------------------------------------------------------------------------------

  async opened() {
    if (this.root !== this.loaded) this.clear();
    this.loaded = this.root;
    await this.load();
    if (this.revision >= 0) {
      const { identity } = this.studio.state;
      if (identity && !this.opened_) await this.open(identity, { quiet: true });
      await this.suggestions.opened();
    }
    this.studio.cover();
    this.refresh();
  }

  // The registry as it is now; why it cannot be read takes the place of the grid.
  async load() {
    if (!this.root) return;
    try {
      this.take(await get("/api/registry", { root: this.root }));
      this.error = "";
    } catch (error) {
      this.error = [error.message, error.remedy].filter(Boolean).join("; ");
      Object.assign(this, { identities: [], videos: [], revision: -1, undoable: "", opened_: null });
    }
  }

  take(overview) {
    Object.assign(this, { identities: overview.identities, videos: overview.videos, model: overview.model, revision: overview.revision, undoable: overview.undo });
    const known = new Set(this.identities.map((one) => one.name));
    this.chosen = new Set([...this.chosen].filter((name) => known.has(name)));
    if (this.opened_ && !known.has(this.opened_.name)) this.opened_ = null;
  }

  get total() {
    return this.identities.reduce((sum, one) => sum + one.tracks, 0);
  }

  // -- edits ----------------------------------------------------------------------------------------------------------

  // Post an edit; the answer is the registry after it, and the identity to be shown. One edit at a time.
  async change(what, values = {}) {
    if (this.busy) return undefined;
    this.busy = true;
    try {
      const answer = await post(`/api/registry/${what}`, { root: this.root, revision: this.revision, ...values });
      this.take(answer);
      this.refresh();
      if (this.opened_ || answer.show) await this.open(answer.show || this.opened_.name, { quiet: true });
      toast(`${answer.done[0].toUpperCase()}${answer.done.slice(1)}.`);
      return answer;
    } catch (error) {
      if (error.status === 409) await this.load();
      throw error;
    } finally {
      this.busy = false;
      this.refresh();
      this.suggestions.changed();
    }
  }

  merge() {
    if (this.chosen.size < 2) return;
    attempt(async () => {
      const names = this.identities.map((one) => one.name).filter((name) => this.chosen.has(name)); // the oldest one stays
      if (await this.change("merge", { names })) this.select([]);
    });
  }

  split() {
    if (!this.picked.size || this.picked.size === this.opened_.tracks.length) return;
    attempt(() => this.change("split", { tracks: [...this.picked] }));
  }

  move() {
    const to = $("#registry-target").value;
    if (this.picked.size && to) attempt(() => this.change("move", { tracks: [...this.picked], to }));
  }

  rename() {
    attempt(async () => {
      const { name } = this.opened_;
      const fresh = await named(`New name of ${name}; no later run changes it.`, name);
      if (fresh && fresh !== name) await this.change("rename", { name, new: fresh });
    });
  }

  forget() {
    attempt(async () => {
      const { name, tracks } = this.opened_;
      const text = `Forget ${name}? ${counted(tracks.length, "track")} with embeddings, times and images are deleted from this registry, `
        + "and the edits so far can no longer be undone. Results of identify are not changed: forget --in DIR does that.";
      if (!(await confirmed(text, "Forget"))) return;
      this.opened_ = null;
      this.remember();
      await this.change("forget", { name });
    });
  }

  undo() {
    if (this.undoable) attempt(() => this.change("undo"));
  }

  // -- selection ------------------------------------------------------------------------------------------------------

  select(names) {
    this.chosen = new Set(names);
    this.refresh();
  }

  toggle(name, on) {
    if (on) this.chosen.add(name);
    else this.chosen.delete(name);
    this.refresh();
  }

  // Of several that are opened in a row, the last one counts.
  async open(name, { quiet = false } = {}) {
    const turn = ++this.turn;
    this.picked.clear();
    const found = name ? await attempt(() => get("/api/registry/identity", { root: this.root, name })) : null;
    if (turn !== this.turn) return;
    this.opened_ = found ?? null;
    this.remember();
    this.refresh();
    if (found && !quiet) $("#registry-opened").scrollIntoView({ block: "nearest" });
  }

  remember() {
    this.studio.remember({ identity: this.opened_?.name ?? "" });
  }

  cover(covered) {
    this.covered = covered;
    this.studio.cover();
    this.refresh();
  }

  // Show a video of the registry at a frame.
  async show(name, frame) {
    const video = this.videos.find((one) => one.name === name);
    if (!video) return;
    if (!video.path) {
      toast(`${name} cannot be shown: ${video.why}`, { bad: true });
      return;
    }
    this.covered = false;
    this.tool.box = null;
    await this.studio.openVideo(video.path, frame);
  }

  // -- display --------------------------------------------------------------------------------------------------------

  crop(name, file, alt = "") {
    return file ? el("img", { src: address("/api/gallery/picture", { root: this.root, identity: name, file }), alt, loading: "lazy" }) : el("span.blank", {}, "no crop");
  }

  refresh() {
    this.list(this.shown);
    $("#registry-error").textContent = this.error || (this.root ? "" : "No registry is open.");
    $("#registry-choose").hidden = Boolean(this.root) && !this.error;
    $("#registry-bar").hidden = !this.identities.length;
    const { size } = this.chosen;
    $("#registry-selected").textContent = size ? `${counted(size, "identity", "identities")} selected` : "Select identities to merge them.";
    $("#registry-merge").disabled = size < 2;
    $("#registry-clear").disabled = !size;
    Object.assign($("#registry-undo"), { disabled: !this.undoable, title: this.undoable ? `Undo ${this.undoable} (Ctrl Z)` : "nothing to undo" });
    $("#registry-people").setAttribute("aria-pressed", this.covered);
    $("#registry-frames").setAttribute("aria-pressed", !this.covered);
    this.showVideos();
    this.showOpened();
    this.suggestions.refresh();
    this.search.refresh();
    this.studio.say();
  }

  list(shown) {
    this.shown = shown;
    const text = $("#registry-filter").value.trim().toLowerCase();
    const order = ORDERS[$("#registry-sort").value];
    const found = this.identities.filter((one) => one.name.toLowerCase().includes(text)).sort(order);
    const focused = document.activeElement?.closest("#registry-grid .person")?.dataset.name;
    const cards = found.slice(0, shown);
    fill($("#registry-grid"), [this.root, cards], () => cards.map((one) => this.card(one)));
    if (focused && !document.activeElement?.closest(".person")) $(`.person[data-name="${CSS.escape(focused)}"] .open`)?.focus();
    for (const card of document.querySelectorAll("#registry-grid .person")) {
      card.classList.toggle("chosen", card.dataset.name === this.opened_?.name);
      card.querySelector("input").checked = this.chosen.has(card.dataset.name);
    }
    $("#registry-more").hidden = found.length <= shown;
    const all = this.identities.length;
    $("#registry-count").textContent = `${found.length === all ? "" : `${found.length} of `}${counted(all, "identity", "identities")}, ${counted(this.total, "track")} in ${counted(this.videos.length, "video")}`;
  }

  card(one) {
    const { name } = one;
    const facts = [counted(one.tracks, "track"), counted(one.videos, "video"), counted(one.cameras, "camera")].join(" · ");
    const box = el("input", { type: "checkbox", "aria-label": `Select ${name}`, onchange: (event) => this.toggle(name, event.target.checked) });
    const press = (event) => (event.shiftKey || event.ctrlKey || event.metaKey ? this.toggle(name, !this.chosen.has(name)) : this.open(name));
    const open = el("button.open", { onclick: press, title: `${name}: ${facts}` }, this.crop(name, one.image),
      el("b", {}, name, one.by_person ? el("span.mark", { title: "named by a person" }, " ✓") : null), el("span.dim", {}, facts));
    return el("article.person", { data: { name } }, open, box);
  }

  // Arrow keys walk over the cards.
  walk(event) {
    const cards = [...document.querySelectorAll("#registry-grid .open")];
    const at = cards.indexOf(document.activeElement);
    if (at < 0) return;
    const across = Math.max(1, cards.filter((card) => card.offsetTop === cards[0].offsetTop).length);
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
    if (event.key === "x") {
      const { name } = cards[at].closest(".person").dataset;
      this.toggle(name, !this.chosen.has(name));
    } else if (by) cards[Math.min(Math.max(at + by, 0), cards.length - 1)].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  showVideos() {
    const options = this.videos.map((one) =>
      el("option", { value: one.name, disabled: !one.path, title: one.why }, one.path ? one.name : `${one.name} – ${one.why}`));
    fill($("#registry-video"), this.videos, () => [el("option", { value: "" }, "open a video of the registry …"), ...options]);
  }

  showOpened() {
    const found = this.opened_;
    $("#registry-opened").hidden = !found;
    if (!found) return;
    const { name, tracks } = found;
    $("#registry-title").textContent = name;
    const lanes = grouped(tracks, (track) => track.video);
    const length = tracks.reduce((sum, track) => sum + track.last_time - track.first_time, 0);
    $("#registry-facts").textContent = `${counted(tracks.length, "track")} in ${counted(lanes.size, "video")}, ${clock(length)} in view`;
    fill($("#registry-lanes"), found, () => [...lanes].map(([video, own]) => this.lane(video, own, found.seconds[video])));
    fill($("#registry-tracks"), [this.root, found], () => tracks.map((track) => this.track(name, track)));
    for (const row of document.querySelectorAll("#registry-tracks .track")) row.querySelector("input").checked = this.picked.has(Number(row.dataset.number));
    $("#registry-split").disabled = !this.picked.size || this.picked.size === tracks.length;
    const others = this.identities.filter((one) => one.name !== name).map((one) => one.name);
    fill($("#registry-target"), others, () => [el("option", { value: "" }, "another identity …"), ...others.map((other) => el("option", {}, other))]);
    $("#registry-move").disabled = !this.picked.size;
  }

  lane(video, tracks, seconds) {
    const { camera } = tracks[0];
    const bars = tracks.map((track) => {
      const bar = el(track.confidence < 0.5 ? "button.unsure" : "button", { title: this.moment(track), "aria-label": this.moment(track), onclick: () => this.show(video, track.frame) });
      bar.style.left = `${(100 * track.first_time) / Math.max(seconds, 1e-3)}%`;
      bar.style.width = `${(100 * (track.last_time - track.first_time)) / Math.max(seconds, 1e-3)}%`;
      return bar;
    });
    return el("div.lane", {}, el("span.dim", {}, camera === video ? video : `${camera} · ${video}`), el("div.bars", {}, bars));
  }

  moment(track) {
    return `${track.video} ${clock(track.first_time)} – ${clock(track.last_time)}, track ${track.track_id}, confidence ${track.confidence.toFixed(2)}`;
  }

  track(name, track) {
    const pick = (event) => {
      if (event.target.checked) this.picked.add(track.number);
      else this.picked.delete(track.number);
      this.refresh();
    };
    const label = el("label.row", {}, el("input", { type: "checkbox", onchange: pick, "aria-label": `Select track ${track.track_id} of ${track.video}` }),
      el("span", {}, `${track.video}, track ${track.track_id}`));
    const times = `${clock(track.first_time)} – ${clock(track.last_time)}`;
    const go = el("button", { onclick: () => this.show(track.video, track.frame), title: "Show the first frame of the track" }, times);
    const images = track.images.map((file) => this.crop(name, file));
    return el("li.track", { data: { number: track.number } }, label,
      el("div.row", {}, go, el("span.dim", {}, `${counted(track.boxes, "box", "boxes")}, confidence ${track.confidence.toFixed(2)}`)),
      images.length ? el("div.crops", {}, images) : null);
  }

  // -- the frame ------------------------------------------------------------------------------------------------------

  frame() {
    this.studio.view.redraw();
  }

  draw(context) {
    this.tool.draw(context, "#fff");
  }

  hint() {
    if (!this.root) return "First, **choose a registry**: the folder of identify --registry.";
    if (this.error) return "The registry cannot be shown.";
    if (!this.covered) {
      if (!this.studio.player.info) return "Choose a **video of the registry** on the right.";
      return this.tool.box ? "Press **Enter** to search for this person." : "Drag a **box** around a person to search for them in all videos.";
    }
    if (this.chosen.size > 1) return `Press **M** to merge ${this.chosen.size} identities, Esc to clear the selection.`;
    if (this.picked.size) return "Press **S** to split the selected tracks off, or move them to another identity.";
    if (this.opened_) return `**${this.opened_.name}**: check its crops; R names it.`;
    return "**Click** an identity to open it; select two or more to merge them.";
  }

  key(event) {
    const control = event.ctrlKey || event.metaKey;
    if (event.key === "z" && control) this.undo();
    else if (control || event.altKey) return false;
    else if (event.key === "Enter" && !this.covered && this.tool.box) this.search.byBox();
    else if (event.key === "Escape") this.escape();
    else if (event.key === "m") this.merge();
    else if (event.key === "y") this.suggestions.decide(0, true);
    else if (event.key === "d") this.suggestions.decide(0, false);
    else if (event.key === "/") $("#registry-filter").focus();
    else if (event.key === "v") this.cover(!this.covered);
    else if (this.opened_ && event.key === "r") this.rename();
    else if (this.opened_ && event.key === "s") this.split();
    else if (this.opened_ && event.key === "Delete") this.forget();
    else return false;
    return true;
  }

  escape() {
    if (!this.covered && this.tool.box) this.tool.set(null);
    else if (!this.covered) this.cover(true);
    else if (this.picked.size) {
      this.picked.clear();
      this.refresh();
    } else if (this.chosen.size) this.select([]);
    else this.open("");
  }

  help() {
    return [["click, Enter", "open an identity"], ["arrow keys", "the next identity of the grid"], ["Shift click, X", "select an identity"], ["M", "merge the selected identities"],
      ["R", "name the open identity"], ["S", "split the selected tracks off"], ["Del", "forget the open identity"], ["Y D", "the first suggestion: same person, different people"],
      ["V", "identities, frame"], ["drag, Enter", "in a frame: search for the box"], ["/", "filter"], ["Esc", "clear, close"], ["Ctrl Z", "undo"]];
  }
}

function grouped(items, key) {
  const found = new Map();
  for (const item of items) found.set(key(item), [...(found.get(key(item)) ?? []), item]);
  return found;
}
