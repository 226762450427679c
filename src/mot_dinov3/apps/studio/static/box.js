// A box to draw and adjust: whole source pixels, half-open, always within the image.

const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];
const CURSORS = ["nwse-resize", "ns-resize", "nesw-resize", "ew-resize", "nwse-resize", "ns-resize", "nesw-resize", "ew-resize"];
const SMALLEST = 3; // source pixels; a shorter drag is a click

export class BoxTool {
  constructor(view, { changed, clicked }) {
    Object.assign(this, { view, changed, clicked, box: null, drag: null });
  }

  set(box) {
    this.box = box && this.settled(box);
    this.view.redraw();
    this.changed();
  }

  settled([x1, y1, x2, y2]) {
    const [low, high] = [this.view.clamp({ x: Math.min(x1, x2), y: Math.min(y1, y2) }), this.view.clamp({ x: Math.max(x1, x2), y: Math.max(y1, y2) })];
    return [Math.round(low.x), Math.round(low.y), Math.round(high.x), Math.round(high.y)];
  }

  handle({ x, y }) {
    if (!this.box) return -1;
    const [x1, y1, x2, y2] = this.box;
    const { reach } = this.view;
    return HANDLES.findIndex(([a, b]) => Math.abs(x - (x1 + a * (x2 - x1))) < reach && Math.abs(y - (y1 + b * (y2 - y1))) < reach);
  }

  holds({ x, y }) {
    return this.box && x >= this.box[0] && x < this.box[2] && y >= this.box[1] && y < this.box[3];
  }

  down(place, event) {
    const handle = this.handle(place);
    const kind = handle >= 0 ? "size" : this.holds(place) && !event.shiftKey ? "move" : "draw";
    this.drag = { kind, handle, from: place, box: this.box, moved: false };
  }

  move(place) {
    const { drag } = this;
    if (!drag) return;
    const [dx, dy] = [place.x - drag.from.x, place.y - drag.from.y];
    if (!drag.moved && Math.max(Math.abs(dx), Math.abs(dy)) < Math.max(SMALLEST, 3 / this.view.scale)) return;
    drag.moved = true;
    if (drag.kind === "draw") this.set([drag.from.x, drag.from.y, place.x, place.y]);
    else if (drag.kind === "move") this.set(this.shifted(drag.box, dx, dy));
    else this.set(this.sized(drag.box, drag.handle, dx, dy));
  }

  shifted([x1, y1, x2, y2], dx, dy) {
    const [width, height] = this.view.size;
    dx = Math.min(Math.max(Math.round(dx), -x1), width - x2);
    dy = Math.min(Math.max(Math.round(dy), -y1), height - y2);
    return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
  }

  sized([x1, y1, x2, y2], handle, dx, dy) {
    const [a, b] = HANDLES[handle];
    return [a === 0 ? x1 + dx : x1, b === 0 ? y1 + dy : y1, a === 1 ? x2 + dx : x2, b === 1 ? y2 + dy : y2];
  }

  up(place) {
    const { drag } = this;
    this.drag = null;
    if (drag && !drag.moved && drag.kind !== "size") this.clicked(place);
  }

  cursor(place) {
    const handle = this.handle(place);
    return handle >= 0 ? CURSORS[handle] : this.holds(place) ? "move" : "crosshair";
  }

  draw(context, color) {
    if (!this.box) return;
    const [x1, y1] = this.view.toScreen(this.box[0], this.box[1]);
    const [x2, y2] = this.view.toScreen(this.box[2], this.box[3]);
    context.fillStyle = "#0007";
    context.beginPath();
    const [left, top] = this.view.toScreen(0, 0);
    const [right, bottom] = this.view.toScreen(...this.view.size);
    context.rect(left, top, right - left, bottom - top);
    context.rect(x1, y1, x2 - x1, y2 - y1);
    context.fill("evenodd");
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillStyle = "#fff";
    for (const [a, b] of HANDLES) context.fillRect(x1 + a * (x2 - x1) - 3.5, y1 + b * (y2 - y1) - 3.5, 7, 7);
  }
}
