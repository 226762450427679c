// The timeline: a row for each track, with spans in which it was detected, predicted or lost, over the run's time.
const OBSERVATIONS = ["detected", "predicted", "lost"];
const FIRST_ROWS = 60;
const MORE_ROWS = 500;

class Timeline {
  constructor(onpick) {
    this.onpick = onpick;
    this.root = document.getElementById("timeline");
    this.rows = document.getElementById("timeline-rows");
    this.more = document.getElementById("timeline-more");
    this.limit = FIRST_ROWS;
    this.marks = new Map(); // track → its uncertain moments
    for (const moment of DATA.moments) {
      for (const id of [moment.track_id, moment.other_id]) {
        if (id) this.marks.set(id, [...(this.marks.get(id) ?? []), moment]);
      }
    }
    this.more.addEventListener("click", () => {
      this.limit += MORE_ROWS;
      this.show(this.tracks);
    });
    this.rows.addEventListener("click", (event) => this.clicked(event));
    this.drawAxis();
  }

  drawAxis() {
    const axis = document.getElementById("timeline-axis");
    const digits = niceStep(RUN.end - RUN.begin, 8) < 1 ? 1 : 0;
    for (const time of ticks(RUN.begin, RUN.end, 8)) {
      axis.append(axisLabel(clock(time, digits), percent(time)));
    }
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const lane = row.querySelector(".lane");
    if (event.target.closest("button")) {
      this.onpick(Number(row.dataset.track));
      return;
    }
    const { left, width } = lane.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - left) / width, 0), 1);
    const mark = event.target.closest("[data-time]");
    this.onpick(Number(row.dataset.track), mark ? Number(mark.dataset.time) : RUN.begin + part * (RUN.end - RUN.begin));
  }

  // The longest tracks, in the order of their first box.
  show(tracks) {
    this.tracks = tracks;
    const longest = [...tracks].sort((a, b) => b.frames - a.frames).slice(0, this.limit);
    longest.sort((a, b) => a.first - b.first || a.id - b.id);
    this.rows.replaceChildren(...longest.map((track) => this.row(track)));
    this.more.hidden = tracks.length <= this.limit;
    this.more.textContent = `show ${Math.min(tracks.length, this.limit + MORE_ROWS)} of ${tracks.length}`;
    this.select(this.selected);
  }

  row(track) {
    const label = el("button", { className: "label", title: describe(track) }, swatch(track.color), titleOf(track.id));
    const lane = el("div", { className: "lane", title: describe(track) });
    for (let k = 0; k < track.spans.length; k += 3) {
      const [kind, start, end] = track.spans.slice(k, k + 3);
      const span = el("i", { className: OBSERVATIONS[kind] });
      span.title = `Track ${titleOf(track.id)}: ${OBSERVATIONS[kind]}, ${start.toFixed(2)} – ${end.toFixed(2)} s`;
      const color = kind < 2 ? `;background:${track.color}` : "";
      span.style = `left:${percent(start)}%;width:${percent(end) - percent(start)}%${color}`;
      lane.append(span);
    }
    for (const time of track.reidentified) lane.append(this.mark("found", time, `re-identified at ${time.toFixed(2)} s`));
    for (const moment of this.marks.get(track.id) ?? []) {
      const text = `${moment.time.toFixed(2)} s: track ${moment.track_id} ${moment.text}`;
      lane.append(this.mark("uncertain", moment.time, text));
    }
    const row = el("div", { className: "row" }, label, lane);
    row.dataset.track = track.id;
    return row;
  }

  mark(kind, time, title) {
    const mark = el("b", { className: kind, title });
    mark.dataset.time = time;
    mark.style = `left:${percent(time)}%`;
    return mark;
  }

  select(id) {
    this.selected = id;
    for (const row of this.rows.children) {
      const chosen = Number(row.dataset.track) === id;
      row.classList.toggle("chosen", chosen);
      row.querySelector("button").setAttribute("aria-pressed", chosen);
      if (chosen) this.scrollTo(row);
    }
  }

  // Within the list alone: the page stays where it is.
  scrollTo(row) {
    const list = this.rows.parentElement;
    const top = row.offsetTop - this.rows.offsetTop;
    if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - 60) list.scrollTop = top - list.clientHeight / 2;
  }

  at(time) {
    document.documentElement.style.setProperty("--at", percent(time) / 100);
  }
}
