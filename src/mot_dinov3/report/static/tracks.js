// The filters, and the tracks as a table and as best crops.
const FIRST_TRACKS = 100;
const COLUMNS = [
  ["id", (t) => t.id], ["class", (t) => t.class], ["name", (t) => t.name],
  ["first", (t) => t.first, 2], ["last", (t) => t.last, 2], ["length", (t) => t.last - t.first, 2],
  ["frames", (t) => t.frames, 0], ["score", (t) => t.score, 2], ["reidentified", (t) => t.reidentified.length, 0],
];

class Filters {
  constructor(onchange) {
    this.find = document.getElementById("find");
    this.kind = document.getElementById("kind");
    this.length = document.getElementById("length");
    this.named = document.getElementById("named");
    const kinds = [...new Set(DATA.tracks.map((track) => track.class).filter(Boolean))].sort();
    this.kind.append(...kinds.map((kind) => el("option", { value: kind }, kind)));
    this.kind.parentElement.hidden = kinds.length < 2;
    this.named.parentElement.hidden = !DATA.tracks.some((track) => track.name);
    const form = document.getElementById("filters");
    form.addEventListener("input", onchange);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(onchange));
  }

  tracks() {
    const wanted = this.find.value.trim().toLowerCase();
    const least = Number(this.length.value) || 0;
    const found = DATA.tracks.filter((track) =>
      (!this.kind.value || track.class === this.kind.value) && track.last - track.first >= least - 1e-6 &&
      (!this.named.checked || track.name) && this.matches(track, wanted));
    document.getElementById("found").textContent =
      found.length === DATA.tracks.length ? `${found.length} tracks` : `${found.length} of ${DATA.tracks.length} tracks`;
    return found;
  }

  // A number is that of a track; other text is a part of a class or a name.
  matches(track, wanted) {
    if (!wanted) return true;
    if (/^\d+$/.test(wanted) && String(track.id) === wanted) return true;
    return [track.class, track.name].some((text) => text.toLowerCase().includes(wanted));
  }
}

class TrackTable {
  constructor(onpick) {
    this.onpick = onpick;
    this.table = document.getElementById("tracks");
    this.more = document.getElementById("tracks-more");
    this.headings = [...this.table.tHead.rows[0].cells];
    this.limit = FIRST_TRACKS;
    this.order = { column: 3, direction: 1 };
    this.headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => this.sortBy(column));
    });
    this.more.addEventListener("click", () => {
      this.limit = Infinity;
      this.show(this.tracks);
    });
    COLUMNS.forEach(([name, value]) => {
      this.table.classList.toggle(`no-${name}`, !DATA.tracks.some((track) => value(track) !== ""));
    });
    this.table.tBodies[0].addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.onpick(Number(row.dataset.track));
    });
  }

  sortBy(column) {
    const { order } = this;
    this.order = { column, direction: order.column === column ? -order.direction : 1 };
    this.headings.forEach((heading, k) => {
      heading.setAttribute("aria-sort", k !== column ? "none" : this.order.direction > 0 ? "ascending" : "descending");
    });
    this.show(this.tracks);
  }

  show(tracks) {
    this.tracks = tracks;
    const [, value] = COLUMNS[this.order.column];
    const compare = (a, b) => {
      const [one, two] = [value(a), value(b)];
      if (typeof one === "number") return this.order.direction * (one - two);
      return (one === "") - (two === "") || this.order.direction * one.localeCompare(two);
    };
    const shown = [...tracks].sort(compare).slice(0, this.limit);
    this.table.tBodies[0].replaceChildren(...shown.map((track) => this.row(track)));
    this.more.hidden = tracks.length <= this.limit;
    this.more.textContent = `show all ${tracks.length}`;
    this.select(this.selected);
  }

  row(track) {
    const row = el("tr");
    row.dataset.track = track.id;
    for (const [name, value, digits] of COLUMNS) {
      const cell = row.insertCell();
      if (name === "id") cell.append(el("button", { className: "plain" }, swatch(track.color), String(track.id)));
      else cell.textContent = digits === undefined ? value(track) : value(track).toFixed(digits);
    }
    return row;
  }

  select(id) {
    this.selected = id;
    for (const row of this.table.tBodies[0].rows) row.classList.toggle("chosen", Number(row.dataset.track) === id);
  }
}

class BestCrops {
  constructor(onpick) {
    this.root = document.getElementById("crops");
    this.cards = new Map();
    const cropped = DATA.tracks.filter((track) => DATA.crops[track.id]);
    for (const track of cropped) {
      const image = el("img", { decoding: "async", alt: `track ${titleOf(track.id)}`, src: DATA.crops[track.id] });
      const caption = el("span", {}, swatch(track.color), el("b", {}, String(track.id)), ` ${track.name}`,
        el("small", {}, `${track.first.toFixed(1)} – ${track.last.toFixed(1)} s`));
      const card = el("button", { className: "crop", title: describe(track) }, image, caption);
      card.addEventListener("click", () => onpick(track.id, track.shown));
      this.cards.set(track.id, card);
    }
    this.root.append(...this.cards.values());
    this.root.closest("section").classList.toggle("absent", !cropped.length);
    const note = document.getElementById("crops-note");
    if (cropped.length < DATA.tracks.length) note.textContent += ` Of ${DATA.tracks.length} tracks, ${cropped.length} have one here.`;
  }

  show(tracks) {
    const visible = new Set(tracks.map((track) => track.id));
    this.cards.forEach((card, id) => { card.hidden = !visible.has(id); });
  }

  select(id) {
    this.cards.forEach((card, other) => card.setAttribute("aria-pressed", other === id));
  }
}
