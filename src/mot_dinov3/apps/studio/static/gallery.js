// The gallery editor: choose an identity, draw a box, save.
import { address, get, post } from "./api.js";
import { BoxTool } from "./box.js";
import { $, attempt, colorOf, el, toast, watch } from "./ui.js";
import { tag } from "./view.js";

export class Gallery {
  constructor(studio) {
    this.studio = studio;
    this.identities = []; // {name, count, pictures}
    this.chosen = "";
    this.boxes = []; // tracked boxes of the frame
    this.track = null;
    this.tracks = [];
    this.said = "";
    this.tool = new BoxTool(studio.view, { changed: () => this.refresh(), clicked: (place) => this.clicked(place) });
    $("#add-identity").onsubmit = (event) => {
      event.preventDefault();
      this.add($("#identity-name").value.trim());
    };
    $("#save-crop").onclick = () => this.save();
    $("#undo").onclick = () => this.undo();
    $("#take-track").onclick = () => this.take();
    $("#name-track").onclick = () => this.nameTrack();
    $("#check").onclick = () => this.check();
    for (const name of studio.start.embedders) $("#check-embedder").append(el("option", {}, name));
    $("#check-embedder").value = "histogram";
  }

  get root() {
    return this.studio.state.gallery;
  }

  // -- state ----------------------------------------------------------------------------------------------------------

  async opened() {
    this.boxes = [];
    this.tool.box = null;
    if (this.root) await attempt(async () => this.take_over(await get("/api/gallery", { root: this.root })));
    else this.identities = [];
    await this.loadTracks();
    this.refresh();
  }

  async loadTracks() {
    const { tracks } = this.studio.state;
    this.track = null;
    const found = tracks ? await attempt(() => get("/api/tracks", { tracks })) : null;
    this.tracks = found?.tracks ?? [];
    const { info } = this.studio.player;
    const [width, height] = found?.size ?? [0, 0];
    if (info && width && (width !== info.width || height !== info.height)) {
      toast(`The tracks are for frames of ${width}×${height}, the video has ${info.width}×${info.height}: they belong to another video.`, { bad: true });
      this.tracks = [];
    }
    await this.frame();
  }

  async frame() {
    const { tracks } = this.studio.state;
    const n = this.studio.player.shown;
    if (!tracks || !this.tracks.length || n < 0) {
      this.boxes = [];
      return;
    }
    const found = await attempt(() => get("/api/tracks/boxes", { tracks, frame: n }));
    if (!found || n !== this.studio.player.shown) return;
    this.boxes = found.boxes;
    this.studio.view.canvas.dataset.boxes = n;
    this.studio.view.redraw();
  }

  // The gallery of the server, with the names that have no crop yet: those exist in this browser only.
  take_over(overview) {
    const known = new Set(overview.identities.map((one) => one.name));
    const waiting = this.waiting().filter((name) => !known.has(name));
    localStorage.setItem(`names ${this.root}`, JSON.stringify(waiting));
    this.identities = [...overview.identities, ...waiting.map((name) => ({ name, count: 0, pictures: [] }))];
    this.undoable = overview.undo;
    if (!this.identities.some((one) => one.name === this.chosen)) this.chosen = this.identities[0]?.name ?? "";
    this.refresh();
  }

  waiting() {
    return JSON.parse(localStorage.getItem(`names ${this.root}`) || "[]");
  }

  color(name) {
    return colorOf(this.identities.findIndex((one) => one.name === name));
  }

  // -- actions --------------------------------------------------------------------------------------------------------

  add(name) {
    if (!name) return;
    if (!this.identities.some((one) => one.name === name)) {
      this.identities.push({ name, count: 0, pictures: [] });
      localStorage.setItem(`names ${this.root}`, JSON.stringify([...this.waiting(), name]));
    }
    this.chosen = name;
    this.said = "";
    $("#identity-name").value = "";
    $("#identity-name").blur();
    this.refresh();
  }

  clicked(place) {
    const under = this.boxes
      .filter(({ box: [x1, y1, x2, y2] }) => place.x >= x1 && place.x < x2 && place.y >= y1 && place.y < y2)
      .sort((a, b) => (a.box[2] - a.box[0]) * (a.box[3] - a.box[1]) - (b.box[2] - b.box[0]) * (b.box[3] - b.box[1]));
    if (!under.length) {
      this.track = null;
      this.tool.set(null);
      return;
    }
    this.track = under[0].track;
    if (under[0].name && this.identities.some((one) => one.name === under[0].name)) this.chosen = under[0].name;
    this.tool.set(under[0].box);
  }

  async save() {
    if (this.blocked()) return;
    const { video } = this.studio.state;
    const values = { root: this.root, identity: this.chosen, video, frame: this.studio.player.shown, box: this.tool.box };
    const answer = await attempt(() => post("/api/gallery/save", values));
    if (!answer) return;
    toast(answer.advice ? `Saved ${answer.file}.\n${answer.advice}` : `Saved ${answer.file}.`);
    this.said = this.chosen;
    this.tool.box = null;
    this.take_over(answer);
  }

  async undo() {
    const answer = await attempt(() => post("/api/gallery/undo", { root: this.root }));
    if (!answer) return;
    toast(`Undone: ${answer.undone}.`);
    this.take_over(answer);
  }

  async remove(identity, file) {
    const answer = await attempt(() => post("/api/gallery/delete", { root: this.root, identity, file }));
    if (!answer) return;
    toast(`${file} is in the trash; Undo restores it.`);
    this.take_over(answer);
  }

  async take() {
    const { video, tracks } = this.studio.state;
    const values = {
      root: this.root, identity: this.chosen, video, tracks, track: this.track, count: Number($("#take-count").value),
    };
    await attempt(async () => {
      const result = await watch((await post("/api/gallery/take", values)).job);
      if (!result) return;
      toast(`${result.saved} crops of track ${values.track} saved for ${values.identity}.`);
      this.take_over(result);
    });
  }

  async nameTrack() {
    const { tracks } = this.studio.state;
    const answer = await attempt(() => post("/api/tracks/name", { tracks, track: this.track, identity: this.chosen }));
    if (!answer) return;
    toast(`Track ${this.track} is now ${this.chosen} in ${answer.written}.`);
    this.tracks = answer.tracks;
    await this.frame();
    this.refresh();
  }

  async check() {
    const values = { root: this.root, embedder: $("#check-embedder").value, model: $("#check-model").value };
    await attempt(async () => {
      const result = await watch((await post("/api/gallery/check", values)).job);
      if (result) this.showCheck(result);
    });
  }

  // -- display --------------------------------------------------------------------------------------------------------

  // Why a crop cannot be saved; empty where it can.
  blocked() {
    if (!this.studio.player.info) return "choose a video first";
    if (!this.root) return "choose a gallery folder first";
    if (!this.chosen) return "add a name first";
    if (!this.tool.box) return "draw a box first";
    const [x1, y1, x2, y2] = this.tool.box;
    return Math.min(x2 - x1, y2 - y1) < 10 ? "draw a larger box" : "";
  }

  hint() {
    if (!this.studio.player.info) return "First, **choose a video**.";
    if (!this.root) return "Now **choose the gallery folder** at the top, an existing or a new one.";
    const [box, name] = [this.tool.box, this.chosen];
    if (!name) return box ? "Type the **name** of this identity on the right and press Enter." : "Type the **name** of an identity on the right and press Enter.";
    if (box) return `Press **Enter** to save this crop for **${name}**, or drag the box's corners first.`;
    if (this.said) {
      const more = this.identities.length > 1 ? "" : ", or type the next **name**";
      return `Saved. Go to another frame and draw **${name}** again in another pose${more}.`;
    }
    return `Drag a box around **${name}** in the frame${this.boxes.length ? ", or click a tracked box" : ""}.`;
  }

  refresh() {
    const why = this.blocked();
    Object.assign($("#save-crop"), { disabled: Boolean(why), title: why });
    Object.assign($("#undo"), { disabled: !this.undoable, title: this.undoable ? `Undo ${this.undoable} (Ctrl Z)` : "nothing to undo" });
    const { box } = this.tool;
    $("#box-size").textContent = box ? `${box[2] - box[0]} × ${box[3] - box[1]} pixels` : why ? `To save: ${why}.` : "";
    const shown = JSON.stringify([this.identities, this.chosen, this.root]);
    if (shown !== this.listed) $("#identities").replaceChildren(...this.identities.map((one, i) => this.row(one, i)));
    this.listed = shown;
    const about = this.tracks.find((one) => one.track === this.track);
    $("#track-card").hidden = !about;
    if (about) {
      $("#track-number").textContent = about.track;
      $("#track-facts").textContent = `${about.name ? `${about.name}, ` : ""}${about.count} boxes, frames ${about.first} to ${about.last}`;
      for (const name of document.querySelectorAll(".chosen-name")) name.textContent = this.chosen || "…";
      $("#take-track").disabled = $("#name-track").disabled = !this.chosen || !this.root;
    }
    this.studio.say();
    this.studio.view.redraw();
  }

  row(one, index) {
    const digit = index < 9 ? el("kbd", { title: `key ${index + 1}` }, String(index + 1)) : null;
    const thumbs = one.pictures.map((picture) => this.thumb(one.name, picture));
    const head = el("div.row", {}, el("b", {}, one.name), el("span.grow"), el("span.count", { title: "crops" }, String(one.count)), digit);
    return el(
      one.name === this.chosen ? "li.identity.chosen" : "li.identity",
      { color: colorOf(index), data: { name: one.name }, onclick: () => this.pick(index) },
      head, thumbs.length ? el("div.thumbs", {}, thumbs) : null,
    );
  }

  thumb(identity, { file, stamp }, verdict = "") {
    const picture = address("/api/gallery/picture", { root: this.root, identity, file, v: stamp });
    const bin = (event) => {
      event.stopPropagation();
      this.remove(identity, file);
    };
    return el(
      verdict ? `span.thumb.${verdict}` : "span.thumb", { title: file },
      el("img", { src: picture, alt: file, loading: "lazy" }),
      el("button.danger", { title: `Move ${file} to the trash`, onclick: bin }, "✕"),
    );
  }

  pick(index) {
    if (!this.identities[index]) return;
    this.chosen = this.identities[index].name;
    this.said = "";
    this.refresh();
  }

  showCheck({ rows, names, between, notices }) {
    const bad = rows.filter((row) => row.verdict === "wrong" || row.verdict === "doubtful");
    const words = { wrong: "is more similar to", doubtful: "is very similar to" };
    const lines = bad.map((row) =>
      el("tr", {}, el("td", {}, this.thumb(row.identity, row, row.verdict)),
        el("td", {}, el("b", {}, row.identity), ` ${words[row.verdict]} `, el("b", {}, row.like),
          el("div.dim", {}, `${row.file}: ${row.own?.toFixed(3)} to its own, ${row.other?.toFixed(3)} to ${row.like_file}`))));
    const cell = (value) => el("td", {}, value === null ? "–" : value.toFixed(2));
    const matrix = names.length > 8 ? null : el("table.matrix", { title: "smallest distance between two identities; diagonal: mean distance within an identity" },
      el("tr", {}, el("th", {}, ""), names.map((name) => el("th", {}, name))),
      between.map((line, i) => el("tr", {}, el("th", {}, names[i]), line.map(cell))));
    const verdict = bad.length ? `${bad.length} of ${rows.length} crops may have a wrong identity:` : `All ${rows.length} crops are nearest to their own identity.`;
    $("#check-result").replaceChildren(
      ...notices.map((text) => el("p.dim", {}, text)), el("p", {}, verdict), el("div.scroll", {}, el("table", {}, lines)), ...(matrix ? [matrix] : []),
    );
  }

  draw(context, view) {
    for (const { track, name, box, coasted } of this.boxes) {
      const color = name ? this.color(name) : "#cfd8e3";
      const [x1, y1] = view.toScreen(box[0], box[1]);
      const [x2, y2] = view.toScreen(box[2], box[3]);
      context.strokeStyle = color;
      context.lineWidth = track === this.track ? 3 : 1.5;
      context.setLineDash(coasted ? [4, 4] : []);
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
      context.setLineDash([]);
      tag(context, name ? `${track} ${name}` : String(track), x1, y1, color);
    }
    this.tool.draw(context, this.chosen ? this.color(this.chosen) : "#fff");
  }

  key(event) {
    if (event.key === "Enter") this.save();
    else if (event.key === "Escape") this.tool.set(null);
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (/^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey) this.pick(Number(event.key) - 1);
    else return false;
    return true;
  }

  help() {
    return [["1 … 9", "select an identity"], ["drag", "draw a box; drag its corners, edges or inside to adjust"], ["Shift drag", "draw a new box inside the old one"],
      ["click", "select a tracked box"], ["Enter", "save the crop"], ["Esc", "discard the box"], ["Ctrl Z", "undo"]];
  }
}
