// The page: one selected track and one time, shown by all of its parts; uncertain moments; the keyboard.
const KEYS = {
  " ": (player) => player.toggle(),
  ",": (player) => player.step(-1),
  ".": (player) => player.step(1),
  ArrowLeft: (player, event) => player.seek(player.time - (event.shiftKey ? 5 : 1)),
  ArrowRight: (player, event) => player.seek(player.time + (event.shiftKey ? 5 : 1)),
  Home: (player) => player.show(0),
  End: (player) => player.show(Infinity),
};

class Moments {
  constructor(onpick) {
    this.onpick = onpick;
    this.list = document.getElementById("moments");
    this.all = document.getElementById("moments-all");
    this.note = document.getElementById("moments-note");
    this.place = -1;
    this.all.addEventListener("click", () => this.show(null));
  }

  // All moments, or those of a track.
  show(id) {
    this.shown = DATA.moments.filter((moment) => id === null || moment.track_id === id || moment.other_id === id);
    this.place = -1;
    this.all.hidden = id === null;
    this.note.textContent = this.shown.length
      ? `${id === null ? "Check these first" : `Of track ${titleOf(id)}`}: the id may have gone to another object.`
      : id === null ? "None was found in this run." : `None was found for track ${titleOf(id)}.`;
    this.list.replaceChildren(...this.shown.map((moment, place) => this.item(moment, place)));
  }

  item(moment, place) {
    const head = el("span", { className: "head" }, el("b", {}, clock(moment.time)), el("em", {}, moment.kind));
    const text = el("span", {}, swatch(colorOf(moment.track_id)), `track ${moment.track_id} ${moment.text}`);
    const button = el("button", { className: "moment" }, head, text);
    button.addEventListener("click", () => this.choose(place));
    return el("li", {}, button);
  }

  choose(place) {
    const moment = this.shown[place];
    if (!moment) return;
    this.place = place;
    [...this.list.children].forEach((item, k) => item.firstChild.setAttribute("aria-current", k === place));
    this.list.children[place].scrollIntoView({ block: "nearest" });
    this.onpick(moment);
  }
}

class Page {
  constructor(boxes) {
    const pick = (id, time = TRACKS.get(id)?.first) => this.choose(id, time);
    this.player = new Player(boxes);
    this.timeline = new Timeline(pick);
    this.map = new TrajectoryMap(pick);
    this.table = new TrackTable(pick);
    this.crops = new BestCrops(pick);
    this.moments = new Moments((moment) => this.check(moment));
    this.filters = new Filters(() => this.filter());
    drawHeatmap();
    Object.entries(DATA.charts).forEach(([id, chart]) => new TimeChart(id, chart, (time) => this.player.seek(time)));
    this.player.onpick = (id) => this.choose(id);
    this.player.onframe = (time, frame) => this.moved(time, frame);
    this.player.visible = (id) => this.visible.has(id) || !TRACKS.has(id);
    this.wire();
    this.moments.show(null);
    this.filter();
    this.player.show(0);
    document.body.dataset.ready = "";
  }

  wire() {
    const { player } = this;
    const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);
    on("play", "click", () => player.toggle());
    on("back", "click", () => player.step(-1));
    on("next", "click", () => player.step(1));
    on("speed", "change", ({ target }) => player.setSpeed(Number(target.value)));
    on("clear", "click", () => this.clear());
    this.position = document.getElementById("position");
    this.position.max = player.boxes.frames - 1;
    this.position.addEventListener("input", () => player.show(this.position.valueAsNumber));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName) &&
      event.target.type !== "range") return;
    if (event.key === " " && event.target.closest("button, summary")) return; // it presses them
    const step = { n: 1, p: -1 }[event.key];
    if (step) this.moments.choose(Math.max(0, this.moments.place + step));
    else if (event.key === "Escape") this.clear();
    else if (KEYS[event.key]) KEYS[event.key](this.player, event);
    else return;
    event.preventDefault();
  }

  moved(time, frame) {
    this.timeline.at(time);
    this.position.value = frame;
    this.position.setAttribute("aria-valuetext", clock(time));
    const { frames } = this.player.boxes;
    const place = RUN.first ? ` of the source (${frame + 1} of ${frames})` : ` of ${frames}`;
    document.getElementById("time").textContent = `${clock(time, 2)} · frame ${RUN.first + frame + 1}${place}`;
  }

  filter() {
    const tracks = this.filters.tracks();
    this.visible = new Set(tracks.map((track) => track.id));
    for (const part of [this.timeline, this.map, this.table, this.crops]) part.show(tracks);
    this.player.draw();
  }

  // A track that was clicked somewhere: select it, go to `time`, list its uncertain moments.
  choose(id, time) {
    this.select(id);
    this.moments.show(id);
    if (time !== undefined) this.go(time);
  }

  check(moment) {
    this.select(moment.track_id, moment.other_id || null);
    this.player.pause();
    this.go(moment.time);
  }

  go(time) {
    this.player.seek(time);
    document.getElementById("screen").scrollIntoView({ block: "nearest" });
  }

  select(id, other = null) {
    this.player.select(id, other);
    for (const part of [this.timeline, this.map, this.table, this.crops]) part.select(id);
    const track = TRACKS.get(id);
    document.getElementById("selection").hidden = id === null;
    if (id === null) return;
    const facts = track ? `${describe(track)}, ${track.frames} frames, mean score ${track.score.toFixed(2)}` : `Track ${id}`;
    document.getElementById("selected").replaceChildren(swatch(colorOf(id)), facts);
  }

  clear() {
    this.select(null);
    this.moments.show(null);
  }
}

function failed(error) {
  const notice = document.getElementById("failure");
  notice.hidden = false;
  notice.textContent = typeof DecompressionStream === "undefined"
    ? "This browser is too old for the viewer: open the report in one of 2023 or later."
    : `The viewer cannot be shown: ${error.message}`;
}

Boxes.unpack(DATA.boxes).then((boxes) => new Page(boxes)).catch(failed);
