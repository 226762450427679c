// The page: open files, the selected tool, and keyboard shortcuts.
import { get, post } from "./api.js";
import { BackendChoice } from "./backend_choice.js";
import { Gallery } from "./gallery.js";
import { Keypoints } from "./keypoints.js";
import { Player } from "./player.js";
import { Registry } from "./registry.js";
import { Similarity } from "./similarity.js";
import { Tracks } from "./tracks.js";
import { $, attempt, choose, clock, el, marked, toggleTheme, watch } from "./ui.js";
import { View } from "./view.js";

const KINDS = { video: "video", gallery: "folder", tracks: "tracks", results: "results", registry: "registry" };
const NAMES = { video: "choose …", gallery: "choose …", tracks: "none", results: "next to the video", registry: "choose …" };
const KEYS = [["space", "play, pause"], ["← →", "1 frame; with Shift 10"], ["Home End", "first, last frame"], ["wheel, + −", "zoom"], ["0", "fit"],
  ["right drag, Alt drag", "move the frame"], ["?", "this help"]];

class Studio {
  constructor(start) {
    this.start = start;
    // What the address says, else what another tab showed last, else what the command line gives.
    const tool = start.given.gallery ? "gallery" : start.given.tracks ? "tracks" : start.given.registry ? "identities" : "gallery";
    this.state = { tool, ...start.given, ...start.page, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
    this.view = new View($("#canvas"));
    this.player = new Player(this.view);
    this.backend = new BackendChoice();
    this.tools = { tracks: new Tracks(this), gallery: new Gallery(this), keypoints: new Keypoints(this), similarity: new Similarity(this),
      identities: new Registry(this) };
    this.view.layers.push((context, view) => this.tool.draw(context, view));
    this.view.onplace = (place) => {
      $("#place").textContent = place ? `${Math.floor(place.x)}, ${Math.floor(place.y)}` : "";
    };
    this.wire();
  }

  get tool() {
    return this.tools[this.state.tool] ?? this.tools.gallery;
  }

  async begin() {
    this.select(this.state.tool);
    this.chips();
    if (this.state.video) await this.openVideo(this.state.video, Number(this.state.frame) || 0);
    else await this.tool.opened();
    for (const job of (await attempt(() => get("/api/jobs")))?.jobs ?? []) this.resume(job);
    document.body.dataset.ready = "yes";
  }

  // A job that an earlier page started: continue to show it.
  resume(job) {
    attempt(async () => {
      if (job.kind === "track") {
        await this.tools.tracks.starting.follow(job);
        return;
      }
      await watch(job);
      await this.tool.opened();
    });
  }

  // -- open files -----------------------------------------------------------------------------------------------------

  remember(changes = {}) {
    Object.assign(this.state, changes);
    const { tool, video = "", gallery = "", tracks = "", results = "", registry = "", identity = "", truth = "", report = "", chosen = "", filter = "" } = this.state;
    const frame = String(Math.max(this.player.wanted, 0));
    const shown = { tool, video, gallery, tracks, results, registry, identity, truth, report, chosen, filter, frame };
    history.replaceState(null, "", `#${new URLSearchParams(shown)}`);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => post("/api/page", { state: shown }).catch(() => {}), 200); // for a new tab
  }

  async openVideo(path, frame = 0) {
    const info = await attempt(() => this.player.open(path, frame));
    const other = info?.path !== this.state.video;
    this.remember({ video: info ? info.path : "", ...(other && this.state.results ? { results: "" } : {}) });
    this.chips();
    await this.tool.opened();
  }

  async pick(what) {
    const current = this.state[what] || this.state.video || "";
    const path = await choose(KINDS[what], current.slice(0, current.lastIndexOf("/")) || this.start.roots[0]);
    if (path === null) return;
    if (what === "video") {
      await this.openVideo(path);
      return;
    }
    this.remember({ [what]: path, ...(what === "tracks" ? { chosen: "", report: "" } : {}), ...(what === "registry" ? { identity: "" } : {}) });
    this.chips();
    await this.tool.opened();
  }

  chips() {
    for (const what of Object.keys(KINDS)) {
      const chip = $(`#pick-${what}`);
      const path = this.state[what] || "";
      chip.querySelector("span").textContent = path.slice(path.lastIndexOf("/") + 1) || NAMES[what];
      chip.title = path || TITLES[what];
      chip.hidden = Boolean(chip.dataset.for) && !chip.dataset.for.split(" ").includes(this.state.tool);
    }
    const identities = this.state.tool === "identities";
    $("#pick-registry").classList.toggle("wanted", identities && !this.state.registry);
    $("#pick-video").classList.toggle("wanted", !identities && !this.state.video);
    $("#pick-gallery").classList.toggle("wanted", Boolean(this.state.video) && !this.state.gallery);
    $("#pick-tracks").classList.toggle("wanted", this.state.tool === "tracks" && Boolean(this.state.video) && !this.state.tracks);
    $("#empty").hidden = Boolean(this.player.info);
  }

  select(name) {
    this.tool.leave?.();
    if (!this.tools[name]) name = "gallery";
    this.remember({ tool: name });
    for (const tab of document.querySelectorAll("nav button")) tab.setAttribute("aria-selected", tab.dataset.tool === name);
    for (const panel of document.querySelectorAll("aside > section")) panel.classList.toggle("shown", panel.dataset.panel === name);
    this.view.tool = this.tool.tool;
    $("#strip").hidden = !this.tool.strip;
    $("#timeline").hidden = !this.tool.timeline;
    this.cover();
    this.chips();
    this.say();
    this.view.redraw();
  }

  // A page may show something else in place of the frame.
  cover() {
    const covered = Boolean(this.tool.covered);
    for (const [id, hidden] of Object.entries({ view: covered, controls: covered, registry: !covered })) $(`#${id}`).hidden = hidden;
  }

  say(text = this.tool.hint()) {
    $("#hint").replaceChildren(...marked(text));
  }

  // -- player ---------------------------------------------------------------------------------------------------------

  wire() {
    const { player, view } = this;
    for (const tab of document.querySelectorAll("nav button")) {
      tab.onclick = () => {
        this.select(tab.dataset.tool);
        this.tool.opened();
      };
    }
    for (const what of Object.keys(KINDS)) $(`#pick-${what}`).onclick = () => this.pick(what);
    $("#empty-video").onclick = () => this.pick("video");
    $("#registry-choose").onclick = () => this.pick("registry");
    const presses = {
      play: () => player.toggle(), back1: () => player.step(-1), next1: () => player.step(1), back10: () => player.step(-10),
      next10: () => player.step(10), "zoom-in": () => view.zoom(1.4), "zoom-out": () => view.zoom(1 / 1.4), "zoom-fit": () => view.fit(),
      "show-help": () => this.help(), theme: () => toggleTheme(),
    };
    for (const [id, press] of Object.entries(presses)) $(`#${id}`).onclick = press;
    $("#scrub").oninput = (event) => {
      player.stop();
      player.go(Number(event.target.value));
    };
    $("#frame").onchange = (event) => {
      player.stop();
      player.go(Number(event.target.value) || 0);
    };
    player.addEventListener("opened", () => {
      $("#scrub").max = $("#frame").max = player.last;
      this.chips();
    });
    player.addEventListener("frame", () => this.framed());
    player.addEventListener("playing", () => {
      $("#play").textContent = player.playing ? "❚❚" : "▶";
      if (!player.playing) this.remember();
    });
    player.addEventListener("failed", (event) => attempt(() => Promise.reject(event.detail)));
    document.addEventListener("keydown", (event) => this.key(event));
    // A clicked button loses the focus, so that Enter and space keep their meaning.
    for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => document.activeElement?.blur());
    document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  }

  framed() {
    const { player } = this;
    $("#scrub").value = player.shown;
    if (document.activeElement !== $("#frame")) $("#frame").value = player.shown;
    $("#time").textContent = `${clock(player.time)} of ${clock((player.last + 1) / player.info.fps)}`;
    $("#canvas").dataset.frame = player.shown;
    if (!player.playing) this.remember();
    this.tool.frame?.();
  }

  key(event) {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
    const saving = (event.ctrlKey || event.metaKey) && event.key === "s";
    if (typing && event.key === "Escape") event.target.blur();
    if (typing && !saving) return;
    if (event.target.matches("button, summary") && (event.key === "Enter" || event.key === " ")) return;
    if (this.tool.key(event) || this.shared(event)) event.preventDefault();
  }

  shared(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (this.tool.covered && event.key !== "?")) return false;
    const by = event.shiftKey ? 10 : 1;
    const presses = {
      " ": () => this.player.toggle(), ArrowLeft: () => this.player.step(-by), ArrowRight: () => this.player.step(by),
      Home: () => this.player.go(0), End: () => this.player.go(this.player.last), "+": () => this.view.zoom(1.4), "=": () => this.view.zoom(1.4),
      "-": () => this.view.zoom(1 / 1.4), 0: () => this.view.fit(), "?": () => this.help(),
    };
    if (!presses[event.key]) return false;
    presses[event.key]();
    return true;
  }

  help() {
    const rows = [...this.tool.help(), ...KEYS].map(([key, what]) => [el("dt", {}, key), el("dd", {}, what)]);
    $("#help-text").replaceChildren(el("dl", {}, rows));
    $("#help").showModal();
  }
}

const TITLES = { video: "Choose a video", gallery: "Choose the gallery folder", tracks: "Choose the tracks: track-v1, MOTChallenge or CSV",
  results: "Choose the folder of labels and results", registry: "Choose a registry of identities" };

attempt(async () => {
  const studio = new Studio(await get("/api/start"));
  await studio.begin();
});
