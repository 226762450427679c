// The form that starts tracking: detector, embedder and budget; the job runs on the server.
import { post } from "./api.js";
import { $, attempt, choose, el, toast, watch } from "./ui.js";

export class StartTracking {
  // `finished` is called with the result: {tracks, count, frames, notices}.
  constructor(studio, finished) {
    Object.assign(this, { studio, finished, dets: "" });
    for (const name of studio.start.detectors) $("#start-detector").append(el("option", {}, name));
    for (const name of [...studio.start.embedders, "none"]) $("#start-embedder").append(el("option", {}, name));
    $("#start-detector").onchange = () => this.refresh();
    $("#start-embedder").onchange = () => this.refresh();
    $("#start-dets").onclick = () => this.pickDetections();
    $("#start-tracking").onclick = () => this.start();
    this.refresh();
  }

  refresh() {
    const recorded = $("#start-detector").value === "recorded";
    $("#start-dets").hidden = !recorded;
    $("#start-weights").hidden = recorded || $("#start-detector").value === "motion";
    $("#start-model").hidden = ["none", "histogram"].includes($("#start-embedder").value);
    $("#start-dets").textContent = this.dets.slice(this.dets.lastIndexOf("/") + 1) || "Choose detections …";
    $("#start-tracking").disabled = !this.studio.player?.info || (recorded && !this.dets);
  }

  async pickDetections() {
    const { video } = this.studio.state;
    const path = await choose("dets", (this.dets || video || "").replace(/\/[^/]*$/, "") || this.studio.start.roots[0]);
    if (path) this.dets = path;
    this.refresh();
  }

  async start() {
    const value = (id) => ($(id).hidden ? "" : $(id).value); // what a detector or embedder does not take is hidden
    const values = {
      video: this.studio.player.info.path, detector: value("#start-detector"), weights: value("#start-weights"), dets: this.dets,
      classes: value("#start-classes"), embedder: value("#start-embedder"), model: value("#start-model"), budget: Number(value("#start-budget")) || 0,
    };
    await attempt(async () => this.follow((await post("/api/track", values)).job));
  }

  // Show a job, also one that an earlier page started, and open its result; a cancelled one has the frames so far.
  async follow(job) {
    $("#start-tracking").disabled = true;
    let partial = null;
    try {
      const result = await watch(job, { onCancelled: (found) => { partial = found; } });
      await this.open(result ?? partial);
    } finally {
      this.refresh();
    }
  }

  // Say what came out, and show it, unless the user has gone to another page or video since.
  async open(result) {
    if (!result) return;
    const { count, frames, notices, tracks, video } = result;
    toast([`${count} tracks in ${frames} frames: ${tracks}`, ...notices].join("\n"), { bad: !count });
    const { state } = this.studio;
    if (count && state.tool === "tracks" && state.video === video) await this.finished(result);
  }
}
