// Charts over the run's time: stacked areas, lines and a limit, as SVG that stretches with the page.
const WIDE = 1000; // of the drawing; the page stretches it
const TALL = 240;

class TimeChart {
  constructor(id, { unit, time, layers, lines, limit }, onpick) {
    this.root = document.getElementById(id);
    Object.assign(this, { unit, time, layers, lines, limit });
    this.top = this.highest();
    this.readout = el("span", { className: "readout" });
    this.plot = el("div", { className: "plot" }, this.drawing(), ...this.labels(), el("i", { className: "playhead" }));
    this.root.replaceChildren(el("div", { className: "legend" }, ...this.legend()), this.plot, this.readout);
    this.plot.addEventListener("pointermove", (event) => this.read(this.bin(event)));
    this.plot.addEventListener("pointerleave", () => this.readout.replaceChildren());
    this.plot.addEventListener("click", (event) => onpick(this.time[this.bin(event)]));
  }

  highest() {
    const sums = this.time.map((_, k) => this.layers.reduce((sum, { values }) => sum + values[k], 0));
    const single = this.lines.filter(({ hidden }) => !hidden).flatMap(({ values }) => values);
    return 1.05 * Math.max(...sums, ...single, this.limit?.value ?? 0, 1e-6);
  }

  x(time) {
    return (WIDE / 100) * percent(time);
  }

  y(value) {
    return TALL * (1 - value / this.top);
  }

  // A bin reaches to the next one, the last to the end of the run.
  points(values) {
    const at = this.time.map((time, k) => [this.x(time), this.y(values[k])]);
    return at.length ? [...at, [WIDE, at.at(-1)[1]]] : [];
  }

  drawing() {
    const root = svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img" });
    root.setAttribute("aria-label", `${this.unit} over time`);
    for (const value of ticks(0, this.top, 4)) {
      root.append(svg("line", { class: "grid", x1: 0, x2: WIDE, y1: this.y(value), y2: this.y(value) }));
    }
    let below = this.time.map(() => 0);
    for (const { values, color } of this.layers) {
      const above = below.map((value, k) => value + values[k]);
      const outline = [...this.points(above), ...this.points(below).reverse()].map((point) => point.join()).join(" ");
      root.append(svg("polygon", { points: outline, fill: color }));
      below = above;
    }
    this.drawn = this.lines.map(({ values, color, hidden }) => {
      const points = this.points(values).map((point) => point.join()).join(" ");
      return svg("polyline", { class: hidden ? "line hidden" : "line", points, stroke: color });
    });
    root.append(...this.drawn);
    if (this.limit) {
      const y = this.y(this.limit.value);
      root.append(svg("line", { class: "limit", x1: 0, x2: WIDE, y1: y, y2: y }));
    }
    return root;
  }

  labels() {
    const digits = niceStep(RUN.end - RUN.begin, 8) < 1 ? 1 : 0;
    const along = ticks(RUN.begin, RUN.end, 8).map((time) => axisLabel(clock(time, digits), percent(time), "x"));
    const up = ticks(0, this.top, 4).map((value) => this.label("y", String(Number(value.toPrecision(6))), value));
    const limit = this.limit ? [this.label("limit", this.limit.name, this.limit.value)] : [];
    return [...along, ...up, ...limit, el("span", { className: "unit" }, this.unit)];
  }

  label(kind, text, value) {
    return Object.assign(el("span", { className: kind }, text), { style: `top:${(100 * this.y(value)) / TALL}%` });
  }

  legend() {
    const areas = this.layers.map(({ name, color }) => el("span", {}, swatch(color), name));
    const lines = this.lines.map(({ name, color, hidden }, k) => {
      const button = el("button", {}, swatch(color), name);
      button.setAttribute("aria-pressed", !hidden);
      button.addEventListener("click", () => {
        const off = this.drawn[k].classList.toggle("hidden");
        button.setAttribute("aria-pressed", !off);
      });
      return button;
    });
    return [...areas, ...lines];
  }

  bin(event) {
    const { left, width } = this.plot.getBoundingClientRect();
    const time = RUN.begin + ((event.clientX - left) / width) * (RUN.end - RUN.begin);
    return Math.max(0, this.time.findLastIndex((start) => start <= time));
  }

  read(bin) {
    const values = [...this.layers, ...this.lines].filter((series) => series.values[bin]);
    const texts = values.map(({ name, values: all }) => `${name} ${Number(all[bin].toPrecision(3))}`);
    this.readout.textContent = `${clock(this.time[bin])}: ${texts.join(", ")} (${this.unit})`;
  }
}
