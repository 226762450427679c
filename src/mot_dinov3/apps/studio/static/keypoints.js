// Labelling points and outlines, tracking them through the video, and correcting.
import { get, post } from "./api.js";
import { LabelEdits } from "./label_edits.js";
import { KeypointSettings } from "./keypoint_settings.js";
import { LabelTool, rounded } from "./labelling.js";
import { drawOutline, drawPoint, trace } from "./marks.js";
import { Strip } from "./strip.js";
import { $, attempt, colorOf, el, toast, watch } from "./ui.js";

const FIRST = "animal"; // name of the instance until the user names one
const NAMED = 14; // points of a frame up to which their names are displayed
const UNDO = 100;
const MARKS = { occluded: ".hid", lost: ".gone" }; // of a name: what its label in the frame says

const absent = (item) => item.kind === "point" && item.source === "human" && item.state === "lost";

export class Keypoints {
  constructor(studio) {
    this.studio = studio;
    this.tool = new LabelTool(studio.view, this);
    this.strip = new Strip($("#strip"), (frame) => {
      studio.player.stop();
      studio.player.go(frame);
    });
    this.reset();
    const add = (form, field, work) => {
      $(form).onsubmit = (event) => {
        event.preventDefault();
        const value = $(field).value.trim();
        $(field).value = "";
        $(field).blur();
        if (value) work(value);
      };
    };
    add("#add-instance", "#instance-name", (name) => this.addInstance(name));
    add("#add-name", "#point-name", (name) => this.addName(name));
    add("#add-pair", "#pair-names", (pair) => this.addPair(pair));
    for (const button of document.querySelectorAll("[data-mode]")) button.onclick = () => this.use(button.dataset.mode);
    studio.backend.form("follow");
    this.settings = new KeypointSettings(studio);
    this.edits = new LabelEdits(this);
    $("#save-labels").onclick = () => this.save();
    $("#confirm").onclick = () => this.confirm();
    $("#delete-label").onclick = () => this.remove();
    $("#hide-label").onclick = () => this.hide();
    $("#clear-label").onclick = () => this.clear();
    $("#undo-label").onclick = () => this.undo();
    $("#follow").onclick = () => this.follow();
  }

  reset() {
    this.overview = { instances: [], names: [], pairs: [], labelled: [], review: [], tracked: 0, notices: [], undoable: "" };
    this.shown = { frame: -1, items: [], revision: "" }; // as the server has it
    this.drafts = new Map(); // frame → {items, revision}: changed, not saved yet
    this.history = [];
    [this.instances, this.names, this.extra] = [[], [], []]; // named in this tab, not in a file yet
    [this.instance, this.name, this.chosen] = ["", "", null];
  }

  get key_() {
    return `labels ${this.studio.state.video}`;
  }

  values(more = {}) {
    return { video: this.studio.state.video, folder: this.studio.state.results || "", ...more };
  }

  // -- state ----------------------------------------------------------------------------------------------------------

  async opened() {
    this.reset();
    await this.studio.backend.load();
    await this.settings.open(this.key_);
    if (this.studio.player.info) {
      const kept = JSON.parse(localStorage.getItem(this.key_) || "{}");
      this.drafts = new Map(kept.drafts ?? []);
      [this.instances, this.names, this.extra] = [kept.instances ?? [], kept.names ?? [], kept.extra ?? []];
      await this.load();
    }
    this.refresh();
  }

  async load() {
    const overview = await attempt(() => get("/api/keypoints", this.values()));
    if (overview) this.know(overview);
    const series = await attempt(() => get("/api/keypoints/series", this.values()));
    this.strip.set({ series: series ?? null });
    this.shown = { frame: -1, items: [], revision: "" };
    await this.frame();
  }

  know(overview) {
    this.overview = overview;
    if (!this.allInstances().includes(this.instance)) this.instance = this.allInstances()[0] ?? "";
    if (!this.allNames().includes(this.name)) this.name = this.allNames()[0] ?? "";
    for (const notice of overview.notices) if (!this.shownNotices?.has(notice)) toast(notice);
    this.shownNotices = new Set(overview.notices);
  }

  async frame() {
    const { player } = this.studio;
    this.strip.set({ frame: Math.max(player.shown, 0), last: player.last, labelled: this.overview.labelled, instance: this.instance });
    if (player.playing || player.shown < 0) {
      if (player.playing) this.peek();
      return;
    }
    const n = player.shown;
    if (this.shown.frame !== n) {
      const found = await attempt(() => get("/api/keypoints/frame", this.values({ n })));
      if (!found || n !== player.shown) return;
      this.shown = found;
      [this.chosen, this.history] = [null, []];
    }
    this.refresh();
  }

  // During playback, the points are updated as fast as the server sends them.
  async peek() {
    if (this.peeking) return;
    this.peeking = true;
    const n = this.studio.player.shown;
    try {
      this.shown = await get("/api/keypoints/frame", this.values({ n }));
      this.studio.view.redraw();
    } catch {
      // the next frame shows them
    } finally {
      this.peeking = false;
    }
  }

  items() {
    return this.drafts.get(this.shown.frame)?.items ?? this.shown.items;
  }

  allInstances() {
    return [...new Set([...this.overview.instances.map((one) => one.name), ...this.instances])];
  }

  allNames() {
    return [...new Set([...this.overview.names, ...this.names])];
  }

  // -- changing a frame -----------------------------------------------------------------------------------------------

  remember() {
    this.history = [...this.history.slice(-UNDO), JSON.stringify(this.items())];
  }

  put(items) {
    if (this.shown.frame < 0) return;
    const revision = this.drafts.get(this.shown.frame)?.revision ?? this.shown.revision;
    this.drafts.set(this.shown.frame, { items, revision });
    this.changed();
  }

  changed() {
    const kept = { drafts: [...this.drafts], instances: this.instances, names: this.names, extra: this.extra };
    localStorage.setItem(this.key_, JSON.stringify(kept));
    this.refresh();
  }

  // Set the current point of the current instance; select the next missing one.
  set(place) {
    if (this.shown.frame !== this.studio.player.shown) return;
    if (!this.name) {
      toast("Name the point first, for example nose.", { bad: true });
      $("#point-name").focus();
      return;
    }
    if (!this.instance) this.addInstance(FIRST);
    this.remember();
    const [instance, name] = [this.instance, this.name];
    const same = (item) => item.kind === "point" && item.instance === instance && item.name === name;
    const origin = this.items().find(same)?.origin ?? -1;
    const made = { kind: "point", instance, name, points: [[rounded(place.x), rounded(place.y)]], state: "visible", source: "human", origin };
    this.put([...this.items().filter((item) => !same(item)), made]);
    this.chosen = made;
    this.next();
  }

  // Choose the next point that is not labelled in this frame, here or in the next instance.
  next() {
    const set = (instance, name) => this.items().some((i) => i.kind === "point" && i.source === "human" && i.instance === instance && i.name === name);
    const names = this.allNames();
    const order = [...names.slice(names.indexOf(this.name) + 1), ...names];
    const missing = order.find((name) => !set(this.instance, name));
    if (missing) this.name = missing;
    this.refresh();
  }

  outline(points) {
    if (!this.instance) this.addInstance(FIRST);
    this.remember();
    const same = (item) => item.kind === "polygon" && item.instance === this.instance;
    const made = { kind: "polygon", instance: this.instance, name: "", points, source: "human", origin: -1 };
    this.put([...this.items().filter((item) => !(same(item) && item.source === "tracked")), made]);
    this.choose(made);
  }

  // A dragged item becomes a label of a person: returns the item that replaces it.
  moved(item, points) {
    const state = item.source === "human" ? item.state : "visible"; // as in files: a predicted one that is moved is seen
    const made = { ...item, points, state, source: "human" };
    const items = this.items().map((one) => (one === item ? made : one));
    const revision = this.drafts.get(this.shown.frame)?.revision ?? this.shown.revision;
    this.drafts.set(this.shown.frame, { items, revision });
    this.chosen = made;
    this.studio.view.redraw();
    return made;
  }

  choose(item) {
    this.chosen = item;
    if (item) this.instance = item.instance;
    if (item?.name) this.name = item.name;
    this.refresh();
  }

  // Put `made` in the place of the chosen item; null takes it out.
  exchange(made) {
    this.remember();
    const before = this.chosen;
    const items = this.items().filter((item) => item !== before);
    this.chosen = made;
    this.put(made ? [...items, made] : items);
  }

  // The chosen point is not in this frame; an outline is deleted.
  remove() {
    if (!this.chosen) return;
    if (this.chosen.kind === "polygon" && this.chosen.source === "human") this.clear();
    else if (this.chosen.kind === "polygon") toast("This outline was tracked: draw another one, or delete the points that are not there.", { bad: true });
    else if (!absent(this.chosen)) this.exchange({ ...this.chosen, points: [], state: "lost", source: "human" });
  }

  // The chosen point is hidden at its place, or seen after all.
  hide() {
    const { chosen } = this;
    if (chosen?.kind !== "point") return;
    if (!chosen.points.length) toast(`First set ${chosen.name} about where it is hidden.`, { bad: true });
    else this.exchange({ ...chosen, state: chosen.state === "occluded" ? "visible" : "occluded", source: "human" });
  }

  // Nothing is said any more about the chosen point or outline: it is tracked here.
  clear() {
    if (this.chosen?.source === "human") this.exchange(null);
  }

  // Choose a point by its name, also one that is not in the frame.
  point(name) {
    const found = this.items().find((item) => item.kind === "point" && item.instance === this.instance && item.name === name);
    this.addName(name);
    this.choose(found ?? (this.instance ? { kind: "point", instance: this.instance, name, points: [], state: "lost", source: "none", origin: -1 } : null));
  }

  confirm() {
    const items = this.items();
    if (!items.some((item) => item.source === "tracked" && item.points.length)) return;
    this.remember();
    this.put(items.map((item) => (item.points.length ? { ...item, source: "human" } : item)));
  }

  // Undo the last change of this frame that is not saved, else the last saved one.
  undo() {
    const before = this.history.pop();
    if (!before) {
      if (this.overview.undoable) this.edits.undo();
      return;
    }
    this.chosen = null;
    this.put(JSON.parse(before));
  }

  addInstance(name) {
    if (!this.allInstances().includes(name)) this.instances.push(name);
    this.instance = name;
    this.changed();
  }

  addName(name) {
    if (!this.allNames().includes(name)) this.names.push(name);
    this.name = name;
    this.use("point");
    this.changed();
  }

  // Names that were changed everywhere: those that only this tab has follow.
  replaceNames({ instances, keypoints }) {
    const renamed = (names, name) => names[name] ?? name;
    const isSwap = (names) => Object.keys(names).every((name) => Object.values(names).includes(name));
    if (isSwap(instances) && isSwap(keypoints)) return;
    this.instances = this.instances.map((name) => renamed(instances, name));
    this.names = this.names.map((name) => renamed(keypoints, name));
    this.extra = this.extra.map((pair) => pair.split(":").map((name) => renamed(keypoints, name)).join(":"));
    [this.instance, this.name] = [renamed(instances, this.instance), renamed(keypoints, this.name)];
    this.changed();
  }

  addPair(pair) {
    if (!/^[^:,]+:[^:,]+$/.test(pair)) {
      toast("A pair is two names separated by a colon, for example paw1:paw2.", { bad: true });
      return;
    }
    this.extra.push(pair);
    this.changed();
  }

  use(mode) {
    this.tool.mode = mode;
    this.tool.abandon();
    this.refresh();
  }

  async save() {
    for (const [n, draft] of [...this.drafts]) {
      const items = draft.items.filter((item) => item.source === "human");
      const answer = await attempt(() => post("/api/keypoints/save", this.values({ n, items, revision: draft.revision })));
      if (!answer) return false;
      this.drafts.delete(n);
      if (this.shown.frame === n) [this.shown, this.chosen, this.history] = [answer, null, []];
      this.know(answer.overview);
      toast(items.length ? `Saved the labels of frame ${n}.` : `Frame ${n} is no longer labelled.`);
    }
    this.changed();
    this.strip.set({ labelled: this.overview.labelled });
    return true;
  }

  async follow() {
    if (!(await this.save())) return;
    const values = this.values({ ...this.studio.backend.value, settings: this.runSettings() });
    await attempt(async () => {
      const { job } = await post("/api/keypoints/run", values);
      $("#follow").disabled = true;
      try {
        this.showResult(await watch(job, { onCancelled: (result) => this.showResult(result) }));
      } finally {
        $("#follow").disabled = false;
        await this.load();
      }
    });
  }

  // The settings of a run: the pairs named above are added to those of the form.
  runSettings() {
    const { changed } = this.settings;
    if (!this.extra.length || changed.symmetry_pairs === "none") return changed;
    return { ...changed, symmetry_pairs: [...this.extra, changed.symmetry_pairs].filter(Boolean).join(",") };
  }

  showResult(result) {
    if (!result) return;
    $("#follow-result").replaceChildren(...result.summary.filter((line) => !line.startsWith("files")).map((line) => el("div.mono", {}, line)));
  }

  // -- display --------------------------------------------------------------------------------------------------------

  hint() {
    if (!this.studio.player.info) return "First, **choose a video**.";
    const { mode, open } = this.tool;
    const labelled = this.items().filter((item) => item.source === "human").length;
    if (this.drafts.size && mode !== "polygon") {
      const rest = mode === "point" && this.name ? `Click on **${this.name}**, or drag a point. ` : "Drag a point. ";
      return `${rest}**Ctrl S** saves.`;
    }
    if (mode === "polygon") return open.length ? "Click each corner; **Enter** or a click on the first corner closes the outline." : `Click around **${this.instance || FIRST}**, one corner at a time.`;
    if (!this.allNames().length) return "Type the **name of a point** on the right, for example nose, and press Enter.";
    if (this.overview.tracked) return "Step through the video; **drag** a wrong point, save, and track again: only the affected frames are recomputed.";
    if (labelled) return "Label more frames, or press **Track the points**.";
    return `Click on **${this.name}**${this.instance ? ` of **${this.instance}**` : ""} in the frame.`;
  }

  color(instance) {
    return colorOf(this.allInstances().indexOf(instance));
  }

  refresh() {
    for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === this.tool.mode);
    const items = this.items();
    const labelled = (name) => items.find((i) => i.kind === "point" && i.source === "human" && i.instance === this.instance && i.name === name);
    const mark = (name) => (labelled(name) ? MARKS[labelled(name).state] ?? ".set" : "");
    $("#instances").replaceChildren(...this.allInstances().map((name, i) => el(
      "button", { "aria-pressed": name === this.instance, color: this.color(name), title: i < 9 ? `key ${i + 1}` : "", onclick: () => this.pick(name) },
      el("span.swatch"), ` ${name}`)));
    $("#names").replaceChildren(...this.allNames().map((name) => el(
      `button${mark(name)}`, { "aria-pressed": name === this.name, data: { name }, onclick: () => this.point(name) }, name)));
    $("#suggested").replaceChildren(...this.suggested().map((name) => el("option", { value: name })));
    const pairs = [...this.overview.pairs.map((pair) => pair.join(" / ")), ...this.extra.map((pair) => pair.replace(":", " / "))];
    $("#pairs").textContent = pairs.length ? `Left and right: ${pairs.join(", ")}` : "";
    $("#save-labels").disabled = !this.drafts.size;
    $("#undo-label").disabled = !this.history.length && !this.overview.undoable;
    $("#undo-label").title = `Undo${this.history.length || !this.overview.undoable ? "" : `: ${this.overview.undoable}`} (Ctrl Z)`;
    this.edits.refresh();
    const { chosen } = this;
    $("#delete-label").disabled = !chosen || absent(chosen);
    $("#delete-label").textContent = chosen?.kind === "polygon" ? "Delete" : "Absent";
    $("#hide-label").disabled = chosen?.kind !== "point" || !chosen.points.length;
    $("#hide-label").setAttribute("aria-pressed", chosen?.kind === "point" && chosen.state === "occluded");
    $("#clear-label").disabled = chosen?.source !== "human";
    $("#confirm").disabled = !items.some((item) => item.source === "tracked" && item.points.length);
    const unsaved = [...this.drafts.keys()].sort((a, b) => a - b);
    $("#label-facts").replaceChildren(
      this.overview.labelled.length ? "Labelled frames: " : "No frame is labelled yet. ",
      ...this.overview.labelled.slice(0, 40).flatMap((n) => [el("a", { href: "#", onclick: (event) => this.visit(event, n) }, String(n)), " "]),
      unsaved.length ? el("b", {}, ` Not saved: frame ${unsaved.join(", ")}`) : "",
    );
    $("#review").replaceChildren(...this.overview.review.map(({ frame, keypoints, why }) => el(
      "tr.go", { data: { frame }, onclick: (event) => this.visit(event, frame) }, el("td", {}, `frame ${frame}`), el("td", {}, keypoints, el("div.dim", {}, why)))));
    if (!this.overview.review.length) $("#review").replaceChildren(el("tr", {}, el("td.dim", {}, this.overview.tracked ? "No frame is uncertain." : "Uncertain frames are listed here after tracking.")));
    this.strip.set({ instance: this.instance, labelled: this.overview.labelled });
    this.studio.view.canvas.dataset.items = this.shown.frame;
    this.studio.say();
    this.studio.view.redraw();
  }

  // The opposite side of a name with left or right.
  suggested() {
    const names = this.allNames();
    const swapped = names.map((name) => name.replace(/left|Left|LEFT|L$|^l_|_l$/, (side) => ({ left: "right", Left: "Right", LEFT: "RIGHT", L: "R", l_: "r_", _l: "_r" })[side]));
    return [...new Set([...swapped.filter((name) => !names.includes(name)), ...names])];
  }

  pick(name) {
    this.instance = name;
    this.refresh();
  }

  visit(event, frame) {
    event.preventDefault();
    this.studio.player.stop();
    this.studio.player.go(frame);
  }

  style(item) {
    return { color: this.color(item.instance), chosen: item === this.chosen, over: item === this.tool.over };
  }

  draw(context, view) {
    if (this.shown.frame !== this.studio.player.shown && !this.studio.player.playing) return;
    const items = this.items();
    for (const item of items) if (item.kind === "polygon") drawOutline(context, view, item, this.style(item));
    const points = items.filter((item) => item.kind === "point" && item.points.length);
    const naming = points.length <= NAMED || view.scale > 3;
    for (const item of points) drawPoint(context, view, item, { ...this.style(item), naming });
    const { open } = this.tool;
    if (open.length) {
      const ends = view.pointer ? [...open, [view.pointer.x, view.pointer.y]] : open;
      trace(context, ends.map(([x, y]) => view.toScreen(x, y)), this.color(this.instance || FIRST));
    }
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey;
    const presses = { p: () => this.use("point"), o: () => this.use("polygon"), v: () => this.use("select"), Delete: () => this.remove(), Backspace: () => this.remove(),
      h: () => this.hide(), u: () => this.clear(), x: () => this.edits.swap("instance"), X: () => this.edits.swap("keypoint"), r: () => this.edits.rename("keypoint"), R: () => this.edits.rename("instance"), Enter: () => this.tool.close(), Escape: () => (this.tool.open.length ? this.tool.abandon() : this.choose(null)) };
    if (command && event.key === "s") this.save();
    else if (command && event.key === "z") this.undo();
    else if (!command && /^[1-9]$/.test(event.key) && this.allInstances()[Number(event.key) - 1]) this.pick(this.allInstances()[Number(event.key) - 1]);
    else if (!command && presses[event.key]) presses[event.key]();
    else return false;
    return true;
  }

  help() {
    return [["P, O, V", "point, outline, move"], ["1 … 9", "select an instance"], ["click", "set the point, select the next"], ["drag", "move a point or a corner"],
      ["Enter", "close an outline"], ["Del", "the point is not in this frame; delete an outline"], ["H", "the point is hidden here"], ["U", "take a label back: the point is tracked here"], ["X, Shift X", "swap two instances, two keypoints of one, from this frame on"], ["R, Shift R", "rename the keypoint, the instance"], ["Ctrl S", "save"], ["Ctrl Z", "undo, also what is saved"]];
  }
}
