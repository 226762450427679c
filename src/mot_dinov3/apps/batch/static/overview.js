// The overview of a batch: sorts and filters its table.
const videos = document.getElementById("videos");
const headings = [...videos.tHead.querySelectorAll("th[data-column]")];
const rows = [...videos.tBodies[0].rows];
const filters = document.getElementById("filters");
const sort = document.getElementById("sort");

function valueOf(row, column) {
  const { value } = row.cells[column].dataset;
  return value === "" ? null : Number.isNaN(Number(value)) ? value : Number(value);
}

// Numbers before text, nothing last.
function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  return direction * String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortBy(column, direction) {
  headings.forEach((heading, k) => {
    heading.setAttribute("aria-sort", k !== column ? "none" : direction > 0 ? "ascending" : "descending");
  });
  rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), direction));
  videos.tBodies[0].append(...rows);
  sort.value = column;
}

function filter() {
  const wanted = document.getElementById("find").value.trim().toLowerCase();
  const state = document.getElementById("state").value;
  for (const row of rows) {
    row.hidden = Boolean((state && row.dataset.state !== state) || !row.textContent.toLowerCase().includes(wanted));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("found").textContent = shown === rows.length ? `${shown} videos` : `${shown} of ${rows.length} videos`;
}

headings.forEach((heading, column) => {
  sort.append(Object.assign(document.createElement("option"), { value: column, textContent: heading.dataset.column }));
  heading.querySelector("button").addEventListener("click", () => {
    sortBy(column, heading.getAttribute("aria-sort") === "ascending" ? -1 : 1);
  });
});
sort.addEventListener("change", () => sortBy(Number(sort.value), 1));
filters.addEventListener("input", filter);
filters.addEventListener("reset", () => setTimeout(filter));
filters.addEventListener("submit", (event) => event.preventDefault());
filter();
