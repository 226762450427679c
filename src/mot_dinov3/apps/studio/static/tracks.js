// Correcting tracks: select one or two, merge, split, swap, delete, rename; review, save, score.
import { get, post } from "./api.js";
import { Corrections } from "./corrections.js";
import { StartTracking } from "./start_tracking.js";
import { Timeline } from "./timeline.js";
import { TrackData } from "./track_data.js";
import { $, attempt, choose, el, toast, trackColor } from "./ui.js";
import { tag } from "./view.js";

const TRAIL = 25; // frames before and after, along which the selected tracks are drawn
const FILTERS = ["#filter-text", "#filter-length", "#filter-class"];
const LISTED = 60; // edits, and places to review

export class Tracks {
  constructor(studio) {
    this.studio = studio;
    this.data = new TrackData(() => this.arrived(), () => this.catchUp());
    this.chosen = []; // one or two ids, in the order of their selection
    [this.places, this.place, this.second] = [[], "", false]; // second: the next click selects the second track
    this.queue = Promise.resolve(); // requests that change the tracks, one after the other
    this.listing = Promise.resolve(); // the request of the places to review
    this.timeline = new Timeline($("#timeline"), { go: (frame) => this.go(frame), pick: (id, second) => this.pick(id, second) });
    this.starting = new StartTracking(studio, (result) => this.show(result.tracks));
    this.corrections = new Corrections(this);
    this.tool = { down: (place, event) => this.click(place, event), cursor: (place) => (this.under(place).length ? "pointer" : "default") };
    $("#add-second").onclick = () => {
      this.second = !this.second;
      this.refresh();
    };
    for (const id of FILTERS) $(id).oninput = () => this.filter();
    $("#pick-report").onclick = () => this.pickReport();
    $("#next-place").onclick = () => this.nextPlace();
    $("#place-done").onclick = () => this.reviewed();
  }

  // -- state ----------------------------------------------------------------------------------------------------------

  values(more = {}) {
    const { tracks, video } = this.studio.state;
    return { tracks, video: video ?? "", ...more };
  }

  async opened() {
    const { tracks, chosen } = this.studio.state;
    if (!tracks) this.data.clear();
    else await attempt(() => this.load());
    if (tracks && this.data.values?.tracks !== tracks) this.data.clear();
    this.chosen = (chosen ?? "").split(",").filter(Boolean).map(Number).filter((id) => this.data.track(id));
    this.refresh();
    await this.frame();
  }

  async load() {
    if (!this.data.overview) this.studio.say("Reading the tracks …");
    await this.data.open(this.values());
    const { overview } = this.data;
    for (const notice of overview.notices) if (!this.told?.has(notice)) toast(notice);
    this.told = new Set(overview.notices);
    const { info } = this.studio.player;
    const [width, height] = overview.size;
    if (info && width && (width !== info.width || height !== info.height)) {
      toast(`The tracks are for frames of ${width}×${height}, the video has ${info.width}×${info.height}: they belong to another video.`, { bad: true });
    }
    this.corrections.opened(overview);
    const kept = (this.studio.state.filter ?? "").split("|");
    if (kept.length === FILTERS.length) FILTERS.forEach((id, i) => { $(id).value = kept[i]; });
    this.loadPlaces();
  }

  // Another tab has made edits: show them.
  async catchUp() {
    await attempt(() => this.load());
    this.choose(this.chosen);
    await this.frame();
  }

  async show(tracks) {
    this.chosen = [];
    this.studio.remember({ tracks, chosen: "" });
    this.studio.select("tracks");
    await this.opened();
  }

  loadPlaces() {
    this.listing = attempt(async () => {
      const { revision } = this.data;
      const found = await get("/api/correction/places", this.values({ report: this.studio.state.report ?? "" }));
      if (revision !== this.data.revision) return;
      this.places = found.places;
      this.refresh();
    });
  }

  async frame() {
    const { player } = this.studio;
    this.timeline.seek(Math.max(player.shown, 0));
    if (!this.data.overview || player.shown < 0) return;
    this.arrived();
    await attempt(() => this.data.want(player.shown));
  }

  arrived() {
    const { canvas } = this.studio.view;
    const { shown } = this.studio.player;
    if (this.data.isFresh(shown)) Object.assign(canvas.dataset, { boxes: shown, revision: this.data.revision });
    this.studio.view.redraw();
  }

  go(frame) {
    this.studio.player.stop();
    this.studio.player.go(frame);
  }

  // -- selection ------------------------------------------------------------------------------------------------------

  pick(id, second = false) {
    const add = (second || this.second) && this.chosen.length && this.chosen[0] !== id;
    this.choose(add ? [this.chosen[0], id] : [id]);
  }

  choose(ids) {
    this.chosen = ids.filter((id) => this.data.track(id)).slice(0, 2);
    this.second = false;
    this.studio.remember({ chosen: this.chosen.join(",") });
    this.refresh();
  }

  under({ x, y }) {
    return this.shownBoxes().filter(([, x1, y1, x2, y2]) => x >= x1 && x < x2 && y >= y1 && y < y2)
      .sort((a, b) => (a[3] - a[1]) * (a[4] - a[2]) - (b[3] - b[1]) * (b[4] - b[2]));
  }

  // The smallest box under the mouse; another click at the same place takes the next larger one.
  click(place, event) {
    const found = this.under(place).map(([id]) => id);
    if (!found.length) {
      this.choose([]);
      return;
    }
    const second = event.shiftKey || event.ctrlKey || event.metaKey || this.second;
    const at = found.indexOf(this.chosen[second ? 1 : 0]);
    const next = found[(at + 1) % found.length];
    this.pick(second && next === this.chosen[0] ? found[(at + 2) % found.length] : next, second);
  }

  passes(track) {
    const text = $("#filter-text").value.trim().toLowerCase();
    const kind = $("#filter-class").value;
    if (this.chosen.includes(track.id)) return true;
    if (track.count < (Number($("#filter-length").value) || 0)) return false;
    if (kind && String(track.class) !== kind) return false;
    return !text || String(track.id) === text || track.name.toLowerCase().includes(text);
  }

  filter() {
    this.studio.remember({ filter: FILTERS.map((id) => $(id).value).join("|") });
    this.refresh();
  }

  async pickReport() {
    const { report, tracks } = this.studio.state;
    const path = await choose("report", (report || tracks).replace(/\/[^/]*$/, ""));
    if (path === null) return;
    this.studio.remember({ report: path });
    await this.loadPlaces();
  }

  shownBoxes() {
    const boxes = this.data.boxes(this.studio.player.shown) ?? [];
    return this.visible ? boxes.filter(([id]) => this.visible.has(id)) : boxes;
  }

  // -- changes --------------------------------------------------------------------------------------------------------

  // One request after the other, each on the revision that the one before it made.
  change(path, values = {}) {
    const work = async () => {
      try {
        const answer = await post(path, this.values({ revision: this.data.revision, ...values }));
        this.data.take(answer);
        this.choose(answer.select ?? this.chosen);
        toast(`${answer.done[0].toUpperCase()}${answer.done.slice(1)}.`);
        this.frame();
        this.loadPlaces();
      } catch (error) {
        if (error.status === 409) await this.catchUp();
        throw error;
      }
    };
    this.queue = this.queue.then(() => attempt(work));
    return this.queue;
  }

  // -- review ---------------------------------------------------------------------------------------------------------

  open() {
    return this.places.filter((one) => !one.reviewed);
  }

  visit(place) {
    this.place = place.key;
    this.go(place.frame);
    this.choose(place.tracks);
  }

  // The most urgent place, or the one after the last visited; edits on their way are waited for.
  async nextPlace() {
    await this.queue;
    await this.listing;
    const open = this.open();
    if (!open.length) {
      toast(this.data.overview ? "Every place has been reviewed." : "Choose the tracks first.");
      return;
    }
    this.visit(open[(open.findIndex((one) => one.key === this.place) + 1) % open.length]);
  }

  reviewed() {
    const open = this.open();
    const at = open.findIndex((one) => one.key === this.place);
    if (at < 0) {
      this.nextPlace();
      return;
    }
    open[at].reviewed = true;
    const { key } = open[at];
    this.queue = this.queue.then(() => attempt(async () => {
      const { revision } = await post("/api/correction/reviewed", this.values({ key }));
      this.data.take({ ...this.data.overview, revision });
      this.frame();
    }));
    if (open.length > 1) this.visit(open[(at + 1) % open.length]);
    else this.refresh();
  }

  // -- display --------------------------------------------------------------------------------------------------------

  hint() {
    if (!this.studio.player.info) return "First, **choose a video**.";
    const { overview } = this.data;
    if (!overview) return "Now **choose the tracks** at the top, or **track this video** on the right.";
    const [one, other] = this.chosen;
    if (this.second) return `Click the **second track**, in the frame or in the timeline.`;
    if (other !== undefined) return `Tracks **${one}** and **${other}**: **X** swaps them from this frame on, **M** merges them, **L** also fills the gap.`;
    if (one !== undefined) return `Track **${one}**: **S** splits it here. **Shift click** selects a second one.`;
    if (!overview.saved) return "**N** shows the next place to review; **Ctrl S** saves the corrected tracks.";
    return "**Click** a box or a row of the timeline, or press **N** for the next place to review.";
  }

  refresh() {
    const { overview } = this.data;
    const all = overview?.tracks ?? [];
    const tracks = all.filter((one) => this.passes(one));
    this.visible = tracks.length < all.length ? new Set(tracks.map((one) => one.id)) : null;
    const last = Math.max(this.studio.player.last, (overview?.frames ?? 1) - 1, 1);
    const edits = (overview?.edits ?? []).map((one) => one.frame).filter((n) => n !== null && n !== undefined);
    this.timeline.set({ tracks, chosen: this.chosen, last, edits, marks: this.open().map((one) => one.frame) });
    for (const part of document.querySelectorAll("[data-needs=tracks]")) part.hidden = !overview;
    $("#start-card").open = !overview || $("#start-card").open;
    $("#filter-facts").textContent = this.visible ? `${tracks.length} of ${all.length} tracks` : "";
    this.showPlaces();
    this.corrections.refresh();
    this.starting.refresh();
    this.studio.say();
    this.studio.view.redraw();
  }

  showPlaces() {
    const open = this.open();
    const { report } = this.studio.state;
    $("#pick-report").textContent = report ? `with ${report.slice(report.lastIndexOf("/") + 1)}` : "Add the moments of a report …";
    $("#places-count").textContent = String(open.length);
    $("#places").replaceChildren(...open.slice(0, LISTED).map((one) => el(
      one.key === this.place ? "tr.go.chosen" : "tr.go", { data: { frame: one.frame, kind: one.kind }, onclick: () => this.visit(one) },
      el("td", {}, String(one.frame)), el("td", {}, el("span.level", { title: `urgency ${one.urgency}` }, el("i", { data: { level: Math.ceil(one.urgency * 3) } }))), el("td", {}, one.text))));
    if (!open.length) $("#places").replaceChildren(el("tr", {}, el("td.dim", {}, "Nothing is left to review.")));
  }

  draw(context, view) {
    for (const id of this.chosen) this.trail(context, view, id);
    const frame = this.shownBoxes();
    for (const [id, x1, y1, x2, y2, kind] of frame) {
      const at = this.chosen.indexOf(id);
      const color = trackColor(id);
      const [left, top] = view.toScreen(x1, y1);
      const [right, bottom] = view.toScreen(x2, y2);
      context.setLineDash(kind ? [4, 4] : []);
      if (at >= 0) {
        context.strokeStyle = "#fff";
        context.lineWidth = 5;
        context.strokeRect(left, top, right - left, bottom - top);
      }
      context.strokeStyle = color;
      context.lineWidth = at >= 0 ? 3 : 1.5;
      context.strokeRect(left, top, right - left, bottom - top);
      context.setLineDash([]);
      const name = this.data.track(id)?.name ?? "";
      tag(context, name ? `${id} ${name}` : String(id), left, top, color);
    }
  }

  // The way of a track around the shown frame, along the lower edge of its boxes.
  trail(context, view, id) {
    const { shown } = this.studio.player;
    context.beginPath();
    let pen = false;
    for (let n = Math.max(0, shown - TRAIL); n <= shown + TRAIL; n++) {
      const box = (this.data.boxes(n) ?? []).find(([track]) => track === id);
      if (box) {
        const [x, y] = view.toScreen((box[1] + box[3]) / 2, box[4]);
        if (pen) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
      pen = Boolean(box);
    }
    context.strokeStyle = trackColor(id);
    context.lineWidth = 2;
    context.globalAlpha = 0.8;
    context.stroke();
    context.globalAlpha = 1;
  }

  end(last) {
    const track = this.data.track(this.chosen[0]);
    if (track) this.go(last ? track.last : track.first);
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey;
    const presses = { n: () => this.nextPlace(), Enter: () => this.reviewed(), Escape: () => this.choose([]), "[": () => this.end(false), "]": () => this.end(true) };
    if (!command && presses[event.key]) presses[event.key]();
    else return this.corrections.key(event);
    return true;
  }

  help() {
    return [["click", "select a track: a box, or a row of the timeline"], ["Shift click", "select the second track"], ["N", "next place to review"], ["Enter", "reviewed; next place"],
      ["M", "merge the second track into the first"], ["L", "link: merge, and fill the gap"], ["X", "swap the two from this frame to the end"], ["Shift X", "swap them up to their next crossing"],
      ["S", "split here: a new track from this frame on"], ["G", "fill the gaps of the track"], ["Del", "delete the track"], ["Shift Del", "delete it from this frame on"],
      ["R, C", "name, class"], ["[ ]", "first, last frame of the track"], ["Ctrl Z, Ctrl Y", "undo, redo"], ["Ctrl S", "save"], ["wheel", "timeline: scroll; with Ctrl zoom"]];
  }
}
