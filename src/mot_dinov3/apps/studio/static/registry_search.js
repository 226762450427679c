// Search of a registry: by an image of the user, or by a box that was drawn on a frame.
import { post } from "./api.js";
import { $, attempt, clock, el, fill, percent, watch } from "./ui.js";

const MAX_BYTES = 5_000_000; // of an image that is sent as it is
const MAX_SIDE = 1600; // px, of a larger one

export class RegistrySearch {
  constructor(registry) {
    this.registry = registry;
    this.found = null;
    for (const name of registry.studio.start.embedders) $("#search-embedder").append(el("option", {}, name));
    $("#search-file").onchange = (event) => this.byFile(event.target.files[0]);
    $("#search-box").onclick = () => this.byBox();
  }

  byFile(file) {
    if (!file) return;
    attempt(async () => {
      await this.run({ image: await encoded(file) }, file.name);
      $("#search-file").value = ""; // the same file may be chosen again
    });
  }

  byBox() {
    const { studio, tool } = this.registry;
    if (!tool.box || !studio.player.info) return;
    const { video } = studio.state;
    attempt(() => this.run({ video, frame: studio.player.shown, box: tool.box }, `a box in frame ${studio.player.shown}`));
  }

  async run(values, title) {
    const { root } = this.registry;
    const chosen = { embedder: $("#search-embedder").value, model: $("#search-model").value.trim() };
    const result = await watch((await post("/api/registry/search", { root, ...chosen, ...values })).job);
    if (!result || root !== this.registry.root) return;
    [this.found, this.root, this.title] = [result.found, root, `Search by ${title}, embedder ${result.embedder}`];
    this.refresh();
    $("#search-results").scrollIntoView({ block: "nearest" });
  }

  boxChanged() {
    $("#search-box").disabled = !this.registry.tool.box;
    this.registry.studio.say();
  }

  refresh() {
    const { registry } = this;
    if (this.root !== registry.root) this.found = null;
    $("#search-own").textContent = registry.model.name ? `that of the registry: ${registry.model.name}` : "that of the registry";
    $("#search-model").placeholder = registry.model.weights || "model (optional)";
    $("#search-box").disabled = !registry.tool.box;
    const known = new Set(registry.identities.map((one) => one.name));
    const rows = (this.found ?? []).filter((one) => known.has(one.identity));
    $("#search-facts").textContent = this.found ? this.title : "";
    fill($("#search-results"), [this.root, rows], () => rows.map((one) => this.row(one)));
  }

  row(found) {
    const { registry } = this;
    const images = found.tracks.map((track) => track.image).filter(Boolean).map((file) => registry.crop(found.identity, file));
    const moments = found.tracks.map((track) => `${track.video} ${clock(track.first_time)} – ${clock(track.last_time)}`).join(", ");
    const more = found.more ? `, and ${found.more} more` : "";
    return el("li.found", { data: { name: found.identity } },
      el("button.open", { onclick: () => registry.open(found.identity) }, el("span.row.full", {}, el("b", {}, found.identity), el("span.grow"), el("span.count", {}, percent(found.confidence))),
        images.length ? el("span.crops", {}, images) : null, el("span.dim", {}, moments + more)));
  }
}

// An image file as base64; a large one is reduced first.
async function encoded(file) {
  const sent = file.size > MAX_BYTES ? await reduced(file) : file;
  const reader = new FileReader();
  return new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(sent);
  });
}

async function reduced(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}
