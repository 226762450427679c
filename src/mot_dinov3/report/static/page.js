// Draws the charts one after the other, so that the page answers from the start; fills in pictures; sorts the table.
"use strict";

const { charts, pictures } = JSON.parse(document.getElementById("data").textContent);

for (const image of document.querySelectorAll("img[data-track]")) {
  image.src = pictures[image.dataset.track];
}

async function drawCharts() {
  const look = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  for (const [name, { data, layout }] of Object.entries(charts)) {
    await new Promise((next) => requestAnimationFrame(next));
    await Plotly.newPlot(name, data, layout, look);
  }
  document.body.dataset.ready = "";
}

function sortBy(heading) {
  const table = heading.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const numeric = heading.dataset.kind === "number";
  const key = (row) => {
    const cell = row.children[column];
    return numeric ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = numeric ? (a, b) => a - b : (a, b) => (a === "") - (b === "") || a.localeCompare(b);
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => direction * compare(a, b));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const other of heading.parentNode.children) {
    other.setAttribute("aria-sort", "none");
  }
  heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
}

for (const heading of document.querySelectorAll("#tracks th")) {
  heading.querySelector("button").addEventListener("click", () => sortBy(heading));
}

drawCharts();
