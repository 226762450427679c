// Draws each chart when it comes into view, so that the page opens at once; fills in crops; sorts and searches the
// table, which shows its first rows only until all are asked for.
"use strict";

const FIRST_ROWS = 100;
const { charts, more, crops, tracks } = JSON.parse(document.getElementById("data").textContent);

// The library is 5 MB: it stands in the page as text, and becomes a program when the first chart needs it. The page's
// security policy knows its hash.
function library() {
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = document.getElementById("library").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

function draw(name, { data, layout } = charts[name]) {
  const options = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  waiting.delete(name);
  return library().newPlot(name, data, layout, options);
}

function show(image) {
  image.src = crops[image.dataset.track];
}

const waiting = new Set(Object.keys(charts));
const inView = new IntersectionObserver(async (changes) => {
  const seen = changes.filter((change) => change.isIntersecting).map((change) => change.target);
  for (const place of seen) {
    inView.unobserve(place);
    if (place.tagName === "IMG") {
      show(place);
    } else if (waiting.has(place.id)) {
      await new Promise((next) => requestAnimationFrame(() => setTimeout(next))); // what is there is shown before
      await draw(place.id);
    }
  }
  document.body.dataset.ready = "";
});

for (const name of waiting) {
  const place = document.getElementById(name);
  place.style.minHeight = `${charts[name].layout.height}px`; // else all of them would lie in view
  inView.observe(place);
}
for (const image of document.querySelectorAll("img[data-track]")) {
  inView.observe(image);
}

for (const [name, figure] of Object.entries(more)) {
  const button = document.getElementById(`${name}-more`);
  button.hidden = false;
  button.addEventListener("click", () => {
    button.hidden = true;
    draw(name, figure);
  });
}

window.addEventListener("beforeprint", () => {
  inView.disconnect();
  document.querySelectorAll("img[data-track]").forEach(show);
  [...waiting].forEach((name) => draw(name));
});

const table = document.getElementById("tracks");
const headings = [...table.tHead.rows[0].cells];
const allRows = document.getElementById("tracks-more");
const find = document.getElementById("find");
let limit = FIRST_ROWS;

function rowOf([color, ...values]) {
  const row = document.createElement("tr");
  values.forEach((value, column) => {
    const digits = headings[column].dataset.digits;
    row.insertCell().textContent = digits ? value.toFixed(digits) : value;
  });
  const dot = document.createElement("i");
  dot.className = "dot";
  dot.style.background = color;
  row.cells[0].prepend(dot);
  return row;
}

function fillTable() {
  const wanted = find.value.trim().toLowerCase();
  const found = tracks.filter((track) => track.slice(1, 4).some((text) => `${text}`.toLowerCase().includes(wanted)));
  table.tBodies[0].replaceChildren(...found.slice(0, limit).map(rowOf));
  allRows.hidden = found.length <= limit;
  allRows.textContent = `show all ${found.length}`;
}

function sortBy(heading) {
  const column = headings.indexOf(heading) + 1;
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const numeric = heading.dataset.digits !== undefined;
  const compare = numeric ? (a, b) => a - b : (a, b) => (a === "") - (b === "") || a.localeCompare(b);
  tracks.sort((a, b) => direction * compare(a[column], b[column]));
  headings.forEach((other) => other.setAttribute("aria-sort", "none"));
  heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  fillTable();
}

for (const heading of headings) {
  heading.querySelector("button").addEventListener("click", () => sortBy(heading));
}
find.addEventListener("input", fillTable);
allRows.addEventListener("click", () => {
  limit = Infinity;
  fillTable();
});

fillTable();
