// The image and everything drawn over it. Positions are in source pixels: pixel i covers [i, i + 1).

const MAX_ZOOM = 40; // screen pixels per source pixel
const GRAB = 9; // screen pixels around an item that count as on it

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layers = []; // functions of context and view, drawn in screen pixels
    this.tool = null; // {down, move, up, hover, double, leave, cursor}
    this.bitmap = null;
    this.size = [0, 0];
    [this.scale, this.left, this.top] = [1, 0, 0];
    this.fitted = true;
    this.pointer = null;
    this.onplace = () => {};
    new ResizeObserver(() => this.resized()).observe(canvas);
    this.listen();
  }

  // -- from screen to source and back ---------------------------------------------------------------------------------

  toSource(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left - this.left) / this.scale, y: (event.clientY - box.top - this.top) / this.scale };
  }

  toScreen(x, y) {
    return [x * this.scale + this.left, y * this.scale + this.top];
  }

  get reach() {
    return GRAB / this.scale;
  }

  clamp({ x, y }) {
    return { x: Math.min(Math.max(x, 0), this.size[0]), y: Math.min(Math.max(y, 0), this.size[1]) };
  }

  inside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.size[0] && y < this.size[1];
  }

  // -- visible region -------------------------------------------------------------------------------------------------

  show(bitmap, width, height) {
    const other = width !== this.size[0] || height !== this.size[1];
    this.bitmap = bitmap;
    this.size = [width, height];
    if (other) this.fit();
    else this.redraw();
  }

  fit() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!this.size[0] || !width || !height) return;
    this.scale = Math.min(width / this.size[0], height / this.size[1]);
    this.left = (width - this.size[0] * this.scale) / 2;
    this.top = (height - this.size[1] * this.scale) / 2;
    this.fitted = true;
    this.redraw();
  }

  // Zoom so that the source position under a screen position stays fixed.
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const smallest = 0.5 * Math.min(this.canvas.clientWidth / this.size[0], this.canvas.clientHeight / this.size[1]);
    const scale = Math.min(Math.max(this.scale * factor, smallest), MAX_ZOOM);
    this.left = at.x - ((at.x - this.left) * scale) / this.scale;
    this.top = at.y - ((at.y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.redraw();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.redraw();
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    if (this.fitted) this.fit();
    else this.redraw();
  }

  redraw() {
    Object.assign(this.canvas.dataset, { scale: this.scale, left: this.left, top: this.top });
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const [context, ratio] = [this.context, window.devicePixelRatio || 1];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    if (!this.bitmap) return;
    context.imageSmoothingEnabled = this.scale < 3;
    context.drawImage(this.bitmap, this.left, this.top, this.size[0] * this.scale, this.size[1] * this.scale);
    context.imageSmoothingEnabled = true;
    for (const layer of this.layers) layer(context, this);
  }

  // -- mouse ----------------------------------------------------------------------------------------------------------

  listen() {
    const { canvas } = this;
    let held = null; // "pan" or "tool"
    let last = null;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      this.zoom(1.0015 ** -event.deltaY, { x: event.clientX - box.left, y: event.clientY - box.top });
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.bitmap) return;
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      held = event.button !== 0 || event.altKey ? "pan" : "tool";
      last = event;
      if (held === "tool") this.tool?.down?.(this.toSource(event), event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const place = this.toSource(event);
      this.pointer = place;
      this.onplace(this.inside(place) ? place : null);
      if (held === "pan") {
        this.pan(event.clientX - last.clientX, event.clientY - last.clientY);
        last = event;
      } else if (held === "tool") this.tool?.move?.(place, event);
      else this.tool?.hover?.(place, event);
      canvas.style.cursor = held === "pan" ? "grabbing" : this.tool?.cursor?.(place) || "default";
    });
    const release = (event) => {
      if (held === "tool") this.tool?.up?.(this.toSource(event), event);
      held = null;
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.onplace(null);
      this.tool?.leave?.();
    });
    canvas.addEventListener("dblclick", (event) => this.tool?.double?.(this.toSource(event), event));
  }
}

// A label on a dark background, at a screen position.
export function tag(context, text, x, y, color) {
  context.font = "600 12px system-ui, sans-serif";
  const width = context.measureText(text).width + 8;
  context.fillStyle = color;
  context.fillRect(x, y - 17, width, 17);
  context.fillStyle = "#0b0e12";
  context.fillText(text, x + 4, y - 4.5);
}
