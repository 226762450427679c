// Placing, moving and outlining with the mouse: edits the items of a frame through a sheet, without file access.

const CLOSE = 12; // screen pixels from the first corner that close an outline

export class LabelTool {
  // `sheet` has: items(), change(work), current() → {instance, name} or null, chosen, set(item)
  constructor(view, sheet) {
    Object.assign(this, { view, sheet, mode: "point", open: [], drag: null, over: null });
  }

  // The items at a position: a point, a corner or an outline, the nearest first.
  at(place) {
    let best = null;
    let nearest = this.view.reach * 1.3;
    this.sheet.items().forEach((item) => {
      item.points.forEach(([x, y], corner) => {
        if (item.kind === "polygon" && this.mode === "point") return;
        const distance = Math.hypot(x - place.x, y - place.y);
        if (distance < nearest) [best, nearest] = [{ item, corner }, distance];
      });
    });
    if (best || this.mode !== "select") return best;
    const around = this.sheet.items().find((item) => item.kind === "polygon" && within(item.points, place));
    return around ? { item: around, corner: -1 } : null;
  }

  down(place) {
    const found = this.mode === "polygon" && this.open.length ? null : this.at(place);
    if (found) {
      this.sheet.choose(found.item);
      this.drag = { ...found, from: place, points: found.item.points, moved: false };
    } else if (this.mode === "point" && this.view.inside(place)) this.sheet.set(place);
    else if (this.mode === "polygon") this.corner(place);
    else this.sheet.choose(null);
  }

  corner(place) {
    const { x, y } = this.view.clamp(place);
    const [first] = this.open;
    if (this.open.length >= 3 && Math.hypot(x - first[0], y - first[1]) * this.view.scale < CLOSE) this.close();
    else this.open.push([rounded(x), rounded(y)]);
    this.view.redraw();
  }

  close() {
    if (this.open.length >= 3) this.sheet.outline(this.open);
    this.open = [];
    this.view.redraw();
  }

  move(place) {
    const { drag } = this;
    if (!drag) return;
    const [dx, dy] = [place.x - drag.from.x, place.y - drag.from.y];
    if (!drag.moved && Math.hypot(dx, dy) * this.view.scale < 3) return;
    if (!drag.moved) this.sheet.remember();
    drag.moved = true;
    const points = drag.points.map(([x, y], i) => {
      if (drag.corner >= 0 && i !== drag.corner) return [x, y];
      const to = this.view.clamp({ x: x + dx, y: y + dy });
      return [rounded(to.x), rounded(to.y)];
    });
    drag.item = this.sheet.moved(drag.item, points);
  }

  up() {
    if (this.drag?.moved) this.sheet.changed();
    this.drag = null;
  }

  hover(place) {
    const found = this.at(place);
    if (found?.item !== this.over) this.view.redraw();
    this.over = found?.item ?? null;
    if (this.open.length) this.view.redraw();
  }

  leave() {
    this.over = null;
    this.view.redraw();
  }

  double() {
    if (this.mode === "polygon" && this.open.length > 3) {
      this.open.pop(); // a double click is two clicks
      this.close();
    }
  }

  cursor(place) {
    return this.at(place) ? "move" : this.mode === "select" ? "default" : "crosshair";
  }

  abandon() {
    this.open = [];
    this.view.redraw();
  }
}

export const rounded = (value) => Math.round(value * 100) / 100;

function within(points, { x, y }) {
  let inside = false;
  points.forEach(([x1, y1], i) => {
    const [x2, y2] = points[(i + 1) % points.length];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) * (x2 - x1)) / (y2 - y1)) inside = !inside;
  });
  return inside;
}
