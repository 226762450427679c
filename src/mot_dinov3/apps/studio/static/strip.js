// Score and state of keypoints over time, below the image: one row each; a click goes to the frame.
import { ink } from "./ui.js";

const ROW = 15;
const LEFT = 118; // pixels for names
const STATES = ["#24405280", "#6b4d1c90", "#6e2330b0"]; // visible, occluded, lost

export class Strip {
  constructor(canvas, go) {
    Object.assign(this, { canvas, go, series: null, instance: "", labelled: [], frame: 0, last: 1 });
    let held = false;
    const seek = (event) => {
      const x = event.clientX - canvas.getBoundingClientRect().left - LEFT;
      const width = canvas.clientWidth - LEFT;
      if (width > 0) this.go(Math.round(Math.min(Math.max(x / width, 0), 1) * this.last));
    };
    canvas.addEventListener("pointerdown", (event) => {
      held = true;
      canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => held && seek(event));
    canvas.addEventListener("pointerup", () => { held = false; });
    new ResizeObserver(() => this.draw()).observe(canvas);
    document.addEventListener("themed", () => this.draw());
  }

  set(values) {
    Object.assign(this, values);
    this.draw();
  }

  rows() {
    return (this.series?.rows ?? []).filter((row) => row.instance === this.instance).slice(0, 12);
  }

  draw() {
    const { canvas } = this;
    if (canvas.hidden || !canvas.clientWidth) return;
    const rows = this.rows();
    const height = Math.max(rows.length, 2) * ROW + 10;
    canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [canvas.clientWidth * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "11px system-ui, sans-serif";
    const across = (frame) => LEFT + (frame / Math.max(this.last, 1)) * (canvas.clientWidth - LEFT);
    if (!rows.length) {
      context.fillStyle = ink("--dim");
      context.fillText("Score of every point over time, after tracking", 12, 20);
    }
    rows.forEach((row, i) => this.row(context, row, 5 + i * ROW, across));
    context.fillStyle = ink("--blue");
    for (const frame of this.labelled) context.fillRect(across(frame) - 1, 0, 3, 4);
    context.fillStyle = ink("--text");
    context.fillRect(across(this.frame) - 0.5, 0, 1.5, height);
  }

  row(context, { name, score, state }, top, across) {
    const { first, step } = this.series;
    context.fillStyle = ink("--dim");
    context.fillText(name.length > 17 ? `${name.slice(0, 16)}…` : name, 8, top + ROW - 4, LEFT - 14);
    score.forEach((value, i) => {
      if (value === null) return;
      const x = across(first + i * step - 0.5);
      const width = across(first + (i + 1) * step - 0.5) - x + 0.5;
      context.fillStyle = STATES[state[i]];
      context.fillRect(x, top, width, ROW - 2);
      context.fillStyle = ink(state[i] === 2 ? "--red" : state[i] === 1 ? "--orange" : "--green");
      context.fillRect(x, top + (ROW - 2) * (1 - value), width, Math.max((ROW - 2) * value, 1));
    });
  }
}
