// The trajectories with the counting lines and zones, and the heatmap, both over the background of the scene.
const HEAT = [[0, [255, 237, 160, 0.25]], [0.25, [254, 178, 76, 0.65]], [0.6, [240, 59, 32, 0.78]], [1, [128, 0, 38, 0.88]]];

function scene(id, label) {
  const { width, height, background } = DATA.image;
  const root = document.getElementById(id);
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  root.setAttribute("aria-label", label);
  root.append(svg("rect", { class: "ground", width, height }));
  if (background) root.append(svg("image", { href: background, width, height, preserveAspectRatio: "none" }));
  root.style.setProperty("--unit", `${Math.hypot(width, height) / 960}px`);
  return root;
}

class TrajectoryMap {
  constructor(onpick) {
    this.root = scene("trajectories", "trajectories of the tracks");
    this.paths = new Map();
    for (const [id, points] of Object.entries(DATA.trajectories)) {
      const track = TRACKS.get(Number(id));
      if (!track) continue;
      const corners = points.reduce((text, value, k) => text + (k % 2 ? `,${value} ` : value), "");
      const path = svg("g", { class: "path", stroke: track.color, fill: track.color },
        svg("title", {}, describe(track)),
        svg("polyline", { class: "reach", points: corners }),
        svg("polyline", { points: corners }),
        svg("circle", { cx: points.at(-2), cy: points.at(-1), r: 3.5 * this.unit }));
      path.addEventListener("click", () => onpick(track.id));
      this.paths.set(track.id, path);
      this.root.append(path);
    }
    DATA.regions.forEach((region) => this.root.append(this.region(region)));
  }

  get unit() {
    return Math.hypot(DATA.image.width, DATA.image.height) / 960;
  }

  region({ name, points, inwards }) {
    const corners = points.map((point) => point.join()).join(" ");
    const [x, y] = [0, 1].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
    const shape = inwards ? "polyline" : "polygon";
    const made = svg("g", { class: "region" }, svg(shape, { class: "rim", points: corners }), svg(shape, { points: corners }));
    if (inwards) made.append(...this.arrow([x, y], inwards));
    const text = svg("text", { x: x + 8 * this.unit, y: y - 8 * this.unit, "font-size": 15 * this.unit }, name);
    made.append(text);
    return made;
  }

  // Points to where a crossing counts as in.
  arrow([x, y], [dx, dy]) {
    const long = 30 * this.unit;
    const [tipX, tipY] = [x + long * dx, y + long * dy];
    const wing = (side) => [tipX - long * 0.35 * (dx - side * dy), tipY - long * 0.35 * (dy + side * dx)].join();
    const points = `${x},${y} ${tipX},${tipY} ${wing(1)} ${tipX},${tipY} ${wing(-1)}`;
    return [svg("polyline", { class: "rim", points }), svg("polyline", { points })];
  }

  show(tracks) {
    const visible = new Set(tracks.map((track) => track.id));
    this.paths.forEach((path, id) => path.classList.toggle("hidden", !visible.has(id)));
  }

  select(id) {
    this.root.classList.toggle("choosing", this.paths.has(id));
    this.paths.forEach((path, other) => path.classList.toggle("chosen", other === id));
    const path = this.paths.get(id);
    if (path) path.parentElement.insertBefore(path, this.root.querySelector(".region"));
  }
}

function heatColor(part) {
  const above = HEAT.findIndex(([stop]) => stop >= part);
  const [[low, from], [high, to]] = [HEAT[Math.max(0, above - 1)], HEAT[above]];
  const share = high > low ? (part - low) / (high - low) : 0;
  const [red, green, blue, alpha] = from.map((value, k) => value + share * (to[k] - value));
  return { fill: `rgb(${Math.round(red)} ${Math.round(green)} ${Math.round(blue)})`, "fill-opacity": alpha.toFixed(2) };
}

function drawHeatmap() {
  const root = scene("heatmap", "seconds that objects spent in each part of the frame");
  const { size, most, cells } = DATA.heatmap;
  for (let k = 0; k < cells.length; k += 3) {
    const [column, row, seconds] = cells.slice(k, k + 3);
    const place = { x: column * size, y: row * size, width: size, height: size };
    root.append(svg("rect", { ...place, ...heatColor(Math.min(seconds / most, 1)) }, svg("title", {}, `${seconds} s`)));
  }
  document.getElementById("heat-most").textContent = `${most} s or more`;
}
