// Similarity of every patch to a clicked one.
import { post } from "./api.js";
import { $, attempt, el, watch } from "./ui.js";
import { tag } from "./view.js";

export class Similarity {
  constructor(studio) {
    this.studio = studio;
    this.clear();
    this.tool = { down: (place) => this.click(place), cursor: () => "crosshair", hover: () => this.studio.view.redraw(), leave: () => this.studio.view.redraw() };
    studio.backend.form("similar", () => this.compare());
    $("#opacity").oninput = () => studio.view.redraw();
    for (const id of ["#similar-side", "#similar-follow"]) $(id).onchange = () => this.compare();
  }

  clear() {
    [this.asked, this.found, this.heat, this.wish] = [null, null, null, 0]; // asked: {frame, place}
    $("#similar-result").hidden = true;
  }

  async opened() {
    this.clear();
    this.studio.say();
    this.studio.view.redraw();
    await this.studio.backend.load();
  }

  click(place) {
    if (!this.studio.view.inside(place)) return;
    this.studio.player.stop();
    this.asked = { frame: this.studio.player.shown, place };
    this.compare();
  }

  frame() {
    this.studio.view.redraw();
    if (this.asked && $("#similar-follow").checked && !this.studio.player.playing && this.found?.frame !== this.studio.player.shown) this.compare();
  }

  // Request the map of the displayed frame; only the newest request counts.
  async compare() {
    if (!this.asked) return;
    const wish = ++this.wish;
    const on = $("#similar-follow").checked ? this.studio.player.shown : this.asked.frame;
    const { place: { x, y }, frame } = this.asked;
    const values = {
      video: this.studio.state.video, frame, on, place: [x, y], ...this.studio.backend.value, side: Number($("#similar-side").value),
    };
    this.studio.say("Comparing …");
    const found = await attempt(async () => watch((await post("/api/similarity", values)).job));
    if (wish !== this.wish) return;
    if (found) this.show(found);
    this.studio.say();
  }

  show(found) {
    const bytes = Uint8Array.from(atob(found.map), (character) => character.charCodeAt(0));
    this.heights = new Float32Array(bytes.buffer);
    this.found = found;
    this.heat = painted(this.heights, found);
    $("#similar-result").hidden = false;
    $("#low").textContent = found.low.toFixed(3);
    $("#high").textContent = found.high.toFixed(3);
    const row = (name, { place, value }) => [el("dt", {}, name), el("dd.mono", {}, `${value.toFixed(3)} at ${place.map((v) => v.toFixed(1)).join(", ")}`)];
    $("#peaks").replaceChildren(...row("best", found.best), ...row("second", found.rival), el("dt", {}, "under the mouse"), el("dd.mono", { id: "under" }, "–"),
      el("dt", {}, "frame"), el("dd.mono", {}, `${found.frame}, selected in ${this.asked.frame}`), el("dt", {}, "model"), el("dd.mono", {}, found.model));
    $("#similar-result").dataset.frame = found.frame;
    this.studio.view.redraw();
  }

  value({ x, y }) {
    const [rows, columns] = this.found.shape;
    const [row, column] = [Math.floor(y / this.found.cell[1]), Math.floor(x / this.found.cell[0])];
    return row >= 0 && column >= 0 && row < rows && column < columns ? this.heights[row * columns + column] : null;
  }

  draw(context, view) {
    const { found, asked } = this;
    const shown = this.studio.player.shown;
    if (found && found.frame === shown) {
      const [rows, columns] = found.shape;
      const [left, top] = view.toScreen(0, 0);
      const [right, bottom] = view.toScreen(columns * found.cell[0], rows * found.cell[1]);
      context.save();
      context.beginPath();
      context.rect(left, top, view.size[0] * view.scale, view.size[1] * view.scale);
      context.clip();
      context.globalAlpha = Number($("#opacity").value);
      context.imageSmoothingQuality = "high";
      context.drawImage(this.heat, left, top, right - left, bottom - top);
      context.restore();
      this.ring(context, view, found.rival, 6, "second");
      this.ring(context, view, found.best, 9, "best");
      const value = view.pointer && this.value(view.pointer);
      if ($("#under")) $("#under").textContent = value === null || value === undefined ? "–" : value.toFixed(3);
    }
    if (asked && asked.frame === shown) {
      const [x, y] = view.toScreen(asked.place.x, asked.place.y);
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      context.stroke();
    }
  }

  ring(context, view, { place, value }, size, name) {
    const [x, y] = view.toScreen(...place);
    context.beginPath();
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.strokeStyle = "#000";
    context.lineWidth = 4;
    context.stroke();
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.stroke();
    tag(context, `${name} ${value.toFixed(2)}`, x + size + 3, y - size + 2, "#fff");
  }

  hint() {
    if (!this.studio.player.info) return "First, **choose a video**.";
    if (!this.asked) return "**Click** a point in the frame to show its similarity to all other patches.";
    return "Click another point, or **go to another frame** to compare with that one.";
  }

  key() {
    return false;
  }

  help() {
    return [["click", "compare the patch with all others"]];
  }
}

// The map as a small image, one pixel per cell, in the colours of Turbo.
function painted(heights, { shape: [rows, columns], low, high }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  heights.forEach((value, i) => image.data.set([...turbo((value - low) / Math.max(high - low, 1e-6)), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

// The colour map Turbo (Mikhailov, 2019), between its published key colours.
const KEYS = [[48, 18, 59], [70, 98, 215], [54, 170, 249], [26, 228, 182], [114, 254, 94], [200, 239, 52], [250, 186, 57], [246, 107, 25], [203, 42, 4], [122, 4, 3]];
function turbo(share) {
  const at = Math.min(Math.max(share, 0), 1) * (KEYS.length - 1);
  const [low, rest] = [Math.min(Math.floor(at), KEYS.length - 2), at - Math.min(Math.floor(at), KEYS.length - 2)];
  return KEYS[low].map((value, i) => value + (KEYS[low + 1][i] - value) * rest);
}
