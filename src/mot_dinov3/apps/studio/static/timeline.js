// Timeline of all tracks: a row for each, the selected ones first. A click selects the track and goes to the frame.
import { ink, trackColor } from "./ui.js";

const ROW = 15;
const RULER = 18;
const LEFT = 92; // pixels for ids and names
const KINDS = [1, 0.4, 0.65]; // opacity of detected, predicted and interpolated boxes

export class Timeline {
  // `pick` is called with a track and whether it is the second one, `go` with a frame.
  constructor(canvas, { go, pick }) {
    Object.assign(this, { canvas, go, pick, tracks: [], chosen: [], marks: [], edits: [], frame: 0, last: 1, top: 0 });
    this.span = [0, 1]; // visible frames
    this.held = null;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.held = null; });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
    new ResizeObserver(() => this.draw()).observe(canvas);
    document.addEventListener("themed", () => this.draw());
  }

  set(values) {
    const fitted = this.span[0] === 0 && this.span[1] === this.last;
    Object.assign(this, values);
    if (fitted || this.span[1] > this.last) this.span = [0, this.last];
    this.rows_ = null;
    this.draw();
  }

  // The playhead alone: cheap enough for every frame of a playback.
  seek(frame) {
    this.frame = frame;
    const [from, to] = this.span;
    if (frame < from || frame > to) this.show(frame - (to - from) / 2, to - from);
    this.follow();
    this.draw();
  }

  // Scroll so that a track of the shown frame is visible; rows are in the order of their first frames.
  follow() {
    const { rest } = this.rows();
    const visible = rest.slice(this.top, this.top + this.room());
    const here = (one) => one.first <= this.frame && one.last >= this.frame;
    const at = visible.some(here) ? -1 : rest.findIndex(here);
    if (at >= 0) this.top = at;
  }

  fit() {
    this.show(0, this.last);
  }

  show(from, length) {
    length = Math.min(Math.max(length, 20), this.last);
    from = Math.min(Math.max(from, 0), this.last - length);
    this.span = [from, from + length];
    this.rows_ = null;
    this.draw();
  }

  // The selected tracks, which stay on top, and the others with a box in the visible span, which scroll.
  rows() {
    if (!this.rows_) {
      const [from, to] = this.span;
      const rest = this.tracks.filter((one) => one.first <= to && one.last >= from && !this.chosen.includes(one.id));
      this.rows_ = { chosen: this.chosen.map((id) => this.tracks.find((one) => one.id === id)).filter(Boolean), rest };
    }
    return this.rows_;
  }

  visible() {
    const { chosen, rest } = this.rows();
    return [...chosen, ...rest.slice(this.top, this.top + this.room())];
  }

  // How many rows fit below the selected ones.
  room() {
    return Math.max(1, Math.floor((this.canvas.clientHeight - RULER) / ROW) - this.rows().chosen.length);
  }

  // -- mouse ----------------------------------------------------------------------------------------------------------

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const share = Math.min(Math.max((x - LEFT) / Math.max(box.width - LEFT, 1), 0), 1);
    const row = y < RULER ? null : this.visible()[Math.floor((y - RULER) / ROW)] ?? null;
    return { x, y, row, frame: Math.round(this.span[0] + share * (this.span[1] - this.span[0])) };
  }

  down(event) {
    const at = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.held = { y: at.y, top: this.top, scrolled: false };
    if (at.row) this.pick(at.row.id, event.shiftKey || event.ctrlKey || event.metaKey);
    if (at.x >= LEFT) this.go(at.frame);
    else if (at.row && (this.frame < at.row.first || this.frame > at.row.last)) this.go(at.row.first);
  }

  move(event) {
    const at = this.at(event);
    this.canvas.title = at.row ? `track ${at.row.id}${at.row.name ? `, ${at.row.name}` : ""}: frames ${at.row.first} to ${at.row.last}` : "";
    if (!this.held) return;
    const moved = Math.trunc((this.held.y - at.y) / ROW);
    if (event.pointerType === "touch" && (moved || this.held.scrolled)) {
      this.held.scrolled = true;
      this.scroll(this.held.top + moved);
    } else if (at.x >= LEFT) this.go(at.frame);
  }

  wheel(event) {
    event.preventDefault();
    if (event.ctrlKey || event.shiftKey || event.metaKey) {
      const { frame } = this.at(event);
      const [from, to] = this.span;
      const factor = 1.002 ** (event.deltaY || event.deltaX);
      this.show(frame - (frame - from) * factor, (to - from) * factor);
    } else this.scroll(this.top + Math.sign(event.deltaY) * 2);
  }

  scroll(top) {
    this.top = Math.max(0, Math.min(top, this.rows().rest.length - this.room()));
    this.draw();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
    });
  }

  paint() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.hidden || !width) return;
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "11px system-ui, sans-serif";
    const [from, to] = this.span;
    const across = (frame) => LEFT + ((frame - from) / Math.max(to - from, 1)) * (width - LEFT);
    this.top = Math.max(0, Math.min(this.top, this.rows().rest.length - this.room()));
    const shown = this.visible();
    canvas.dataset.rows = shown.map((one) => one.id).join(",");
    shown.forEach((one, i) => this.row(context, one, RULER + i * ROW, across));
    this.ruler(context, width, across);
    context.fillStyle = ink("--text");
    const x = across(this.frame);
    if (x >= LEFT) context.fillRect(x - 0.75, 0, 1.5, height);
    this.bar(context, width, height);
  }

  row(context, one, y, across) {
    const chosen = this.chosen.includes(one.id);
    if (chosen) {
      context.fillStyle = ink("--raised");
      context.fillRect(0, y, this.canvas.clientWidth, ROW);
    }
    const color = trackColor(one.id);
    for (let i = 0; i < one.stretches.length; i += 3) {
      const [first, last, kind] = one.stretches.slice(i, i + 3);
      const [left, right] = [Math.max(across(first - 0.5), LEFT), across(last + 0.5)];
      if (right <= LEFT || left > this.canvas.clientWidth) continue;
      context.globalAlpha = KINDS[kind];
      context.fillStyle = color;
      context.fillRect(left, y + 2, Math.max(right - left, 1.5), ROW - 4);
    }
    context.globalAlpha = 1;
    context.fillStyle = color;
    context.fillRect(6, y + 3, 4, ROW - 6);
    context.fillStyle = ink(chosen ? "--text" : "--dim");
    const label = one.name ? `${one.id} ${one.name}` : String(one.id);
    context.fillText(label.length > 12 ? `${label.slice(0, 11)}…` : label, 15, y + ROW - 4);
  }

  ruler(context, width, across) {
    context.fillStyle = ink("--panel");
    context.fillRect(0, 0, width, RULER);
    context.fillStyle = ink("--dim");
    const rough = ((this.span[1] - this.span[0]) / Math.max(width - LEFT, 1)) * 80;
    const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const step = Math.max(1, [1, 2, 5, 10].find((n) => n * power >= rough) * power);
    for (let n = Math.ceil(this.span[0] / step) * step; n <= this.span[1]; n += step) {
      if (across(n) > width - 30) break;
      context.fillRect(across(n), RULER - 4, 1, 4);
      context.fillText(String(n), across(n) + 3, 11);
    }
    const ticks = (frames, color, size) => {
      context.fillStyle = color;
      for (const n of frames) if (n >= this.span[0] && n <= this.span[1]) context.fillRect(across(n) - 1, RULER - size, 2.5, size);
    };
    ticks(this.marks, ink("--orange"), 6);
    ticks(this.edits, ink("--blue"), 9);
    context.fillStyle = ink("--dim");
    context.fillText(`${this.tracks.length} tracks`, 6, 12);
  }

  // Which part of the rows is visible.
  bar(context, width, height) {
    const { chosen, rest } = this.rows();
    if (rest.length <= this.room()) return;
    const begin = RULER + chosen.length * ROW;
    const scale = (height - begin) / rest.length;
    context.fillStyle = ink("--line");
    context.fillRect(width - 5, begin + this.top * scale, 4, Math.max(this.room() * scale, 12));
  }
}
