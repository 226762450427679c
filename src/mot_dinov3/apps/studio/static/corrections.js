// The panel of the tracks page: the selected tracks and what can be done with them, the edits, saving and scores.
import { post } from "./api.js";
import { $, attempt, choose, confirmed, el, toast, trackColor, watch } from "./ui.js";

const SHOWN_EDITS = 40;
const SCORES = [["HOTA", "hota", 1], ["MOTA", "mota", 1], ["IDF1", "idf1", 1], ["IDSW", "switches", 0], ["Frag", "fragmentations", 0]];

export class Corrections {
  constructor(page) {
    this.page = page;
    this.studio = page.studio;
    // Button → how many tracks it needs, and what it does.
    this.actions = {
      "do-merge": [2, () => this.merge(false)], "do-link": [2, () => this.merge(true)], "do-swap": [2, () => this.swap(false)], "do-swap-crossing": [2, () => this.swap(true)],
      "do-split": [1, () => this.split()], "do-fill": [1, () => this.edit({ kind: "fill", track: this.one })],
      "do-delete": [1, () => this.edit({ kind: "delete", track: this.one })], "do-delete-rest": [1, () => this.edit({ kind: "delete", track: this.one, first: this.frame })],
    };
    for (const [id, [, work]] of Object.entries(this.actions)) $(`#${id}`).onclick = work;
    $("#rename").onsubmit = (event) => {
      event.preventDefault();
      $("#track-name").blur();
      this.edit({ kind: "rename", track: this.one, name: $("#track-name").value.trim() });
    };
    $("#reclass").onsubmit = (event) => {
      event.preventDefault();
      $("#track-class").blur();
      this.reclass($("#track-class").value.trim());
    };
    $("#undo-edit").onclick = () => page.change("/api/correction/undo");
    $("#redo-edit").onclick = () => page.change("/api/correction/redo");
    $("#save-tracks").onclick = () => this.save();
    $("#save-format").onchange = () => {
      $("#save-target").value = $("#save-target").value.replace(/\.[^./]*$/, "") + $("#save-format").value;
    };
    $("#pick-truth").onclick = () => this.pickTruth();
    $("#score").onclick = () => this.score();
  }

  get one() {
    return this.page.chosen[0];
  }

  get frame() {
    return this.studio.player.shown;
  }

  opened(overview) {
    if (this.path !== overview.path) {
      $("#save-target").value = overview.target;
      $("#save-format").value = overview.target.slice(overview.target.lastIndexOf("."));
      $("#scores").replaceChildren();
    }
    this.path = overview.path;
  }

  // -- edits ----------------------------------------------------------------------------------------------------------

  edit(edit, more = {}) {
    this.studio.player.stop();
    return this.page.change("/api/correction/edit", { edit, ...more });
  }

  merge(fill) {
    const [track, other] = this.page.chosen;
    this.edit({ kind: "merge", track, other, fill });
  }

  swap(toCrossing) {
    const [track, other] = this.page.chosen;
    this.edit({ kind: "swap", track, other, first: this.frame }, { to_crossing: toCrossing });
  }

  split() {
    this.edit({ kind: "split", track: this.one, frame: this.frame });
  }

  // A class by its name or its number; a new name gets the next free number.
  reclass(text) {
    const { classes } = this.page.data.overview;
    const known = Object.entries(classes).find(([number, name]) => name === text || number === text);
    if (!text) return;
    if (known) this.edit({ kind: "class", track: this.one, class_id: Number(known[0]), class_name: known[1] });
    else if (/^\d+$/.test(text)) this.edit({ kind: "class", track: this.one, class_id: Number(text) });
    else {
      const used = [...Object.keys(classes).map(Number), ...this.page.data.overview.tracks.map((one) => one.class)];
      this.edit({ kind: "class", track: this.one, class_id: Math.max(-1, ...used) + 1, class_name: text });
    }
  }

  // -- files ----------------------------------------------------------------------------------------------------------

  save(overwrite = false) {
    const target = $("#save-target").value.trim();
    const { page } = this;
    page.queue = page.queue.then(() => attempt(async () => {
      const answer = await post("/api/correction/save", page.values({ target, overwrite }));
      if (answer.exists) {
        if (await confirmed(`${answer.exists} exists already. Replace it?`, "Replace")) this.save(true);
        return;
      }
      page.data.take(answer);
      toast([`Saved ${answer.written}.`, ...answer.lost].join("\n"));
      page.frame();
      page.refresh();
    }));
  }

  async pickTruth() {
    const { truth, tracks } = this.studio.state;
    const path = await choose("truth", (truth || tracks).replace(/\/[^/]*$/, ""));
    if (path === null) return;
    this.studio.remember({ truth: path });
    this.refresh();
    if (path) this.score();
  }

  async score() {
    await this.page.queue;
    await attempt(async () => {
      const { revision } = this.page.data;
      const found = await watch((await post("/api/correction/evaluate", this.page.values({ truth: this.studio.state.truth }))).job);
      if (!found) return;
      const shown = (value, digits) => (value === null ? "–" : value.toFixed(digits));
      $("#scores").dataset.revision = revision;
      $("#scores").replaceChildren(
        el("tr", {}, el("th", {}, ""), SCORES.map(([name]) => el("th", {}, name))),
        ...["before", "after"].map((when) => el("tr", { data: { when } }, el("th", {}, when), SCORES.map(([, key, digits]) => el("td", { data: { key } }, shown(found[when][key], digits))))),
      );
    });
  }

  // -- display --------------------------------------------------------------------------------------------------------

  refresh() {
    const { overview } = this.page.data;
    if (!overview) return;
    this.showChosen();
    const { chosen } = this.page;
    for (const [id, [needed]] of Object.entries(this.actions)) $(`#${id}`).disabled = chosen.length < needed;
    for (const id of ["#track-name", "#track-class", "#set-name", "#set-class"]) $(id).disabled = !chosen.length;
    $("#add-second").disabled = !chosen.length;
    $("#add-second").setAttribute("aria-pressed", this.page.second);
    const { edits, redo } = overview;
    Object.assign($("#undo-edit"), { disabled: !edits.length, title: edits.length ? `Undo: ${edits.at(-1).text} (Ctrl Z)` : "nothing to undo" });
    Object.assign($("#redo-edit"), { disabled: !redo, title: redo ? `Redo: ${redo} (Ctrl Y)` : "nothing to redo" });
    $("#edits-count").textContent = String(edits.length);
    $("#edits").replaceChildren(...edits.slice(-SHOWN_EDITS).reverse().map((one) => el(
      "li", {}, el("button", { onclick: () => this.visit(one) }, one.text))));
    if (!edits.length) $("#edits").replaceChildren(el("li.dim", {}, "No edits yet. Every edit is kept as soon as it is made."));
    $("#save-state").textContent = overview.saved ? (edits.length ? "All edits are saved." : "") : "There are edits that no file has yet.";
    const classes = [...new Set(overview.tracks.map((one) => one.class))].filter((id) => id >= 0);
    const named = (id) => overview.classes[id] ?? String(id);
    const shown = JSON.stringify([classes, overview.classes]);
    if (shown !== this.listed) {
      $("#known-classes").replaceChildren(...Object.values(overview.classes).map((name) => el("option", { value: name })));
      $("#filter-class").replaceChildren(el("option", { value: "" }, "all classes"), ...classes.map((id) => el("option", { value: String(id) }, named(id))));
    }
    this.listed = shown;
    const { truth } = this.studio.state;
    $("#pick-truth").textContent = truth ? truth.slice(truth.lastIndexOf("/") + 1) : "Choose the ground truth …";
    $("#score").disabled = !truth;
  }

  showChosen() {
    const { overview } = this.page.data;
    const { chosen } = this.page;
    const key = JSON.stringify([chosen, overview.revision]);
    if (key === this.card) return;
    this.card = key;
    const rows = chosen.map((id) => this.page.data.track(id)).filter(Boolean).map((one, i) => el(
      "li", { color: trackColor(one.id), data: { track: one.id } }, el("span.swatch"), el("b", {}, `Track ${one.id}`), chosen.length > 1 ? el("span.count", {}, i ? "second" : "first") : "", one.name ? ` ${one.name}` : "",
      el("span.dim", {}, `${one.count} boxes, ${one.first}–${one.last}`)));
    $("#chosen").replaceChildren(...rows, ...(rows.length ? [] : [el("li.dim", {}, "No track is selected.")]));
    const first = this.page.data.track(this.one);
    $("#track-name").value = first?.name ?? "";
    $("#track-class").value = first && first.class >= 0 ? overview.classes[first.class] ?? String(first.class) : "";
  }

  visit({ frame, tracks }) {
    if (frame !== null && frame !== undefined) this.page.go(frame);
    this.page.choose(tracks);
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const press = (id) => $(`#${id}`).disabled || $(`#${id}`).click();
    const presses = { m: "do-merge", l: "do-link", s: "do-split", g: "do-fill", x: event.shiftKey ? "do-swap-crossing" : "do-swap",
      delete: event.shiftKey ? "do-delete-rest" : "do-delete", backspace: event.shiftKey ? "do-delete-rest" : "do-delete" };
    if (!this.page.data.overview) return false;
    if (command && key === "s") this.save();
    else if (command && (key === "y" || (key === "z" && event.shiftKey))) press("redo-edit");
    else if (command && key === "z") press("undo-edit");
    else if (!command && (key === "r" || key === "c") && this.one !== undefined) $(key === "r" ? "#track-name" : "#track-class").select();
    else if (!command && presses[key]) press(presses[key]);
    else return false;
    return true;
  }
}
