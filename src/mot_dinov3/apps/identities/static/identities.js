// The identities of many videos: filters and sorts them, and shows a stretch of time in its video.
const list = document.getElementById("identities");
const identities = [...list.children];
const filters = document.getElementById("filters");
const player = document.getElementById("player");
const video = document.getElementById("movie");
let until = Infinity;

function filter() {
  const wanted = document.getElementById("find").value.trim().toLowerCase();
  const camera = document.getElementById("camera").value;
  const videos = Number(document.getElementById("videos").value);
  for (const one of identities) {
    const seen = !camera || [...one.querySelectorAll(".seen")].some((lane) => lane.dataset.camera === camera);
    one.hidden = !seen || Number(one.dataset.videos) < videos || !one.dataset.name.toLowerCase().includes(wanted);
  }
  const shown = identities.filter((one) => !one.hidden).length;
  document.getElementById("found").textContent =
    shown === identities.length ? `${shown} identities` : `${shown} of ${identities.length} identities`;
}

function sort() {
  const key = document.getElementById("sort").value;
  const direction = key === "name" || key === "rank" ? 1 : -1;
  identities.sort((a, b) => key === "name"
    ? a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true })
    : direction * (Number(a.dataset[key]) - Number(b.dataset[key])) || Number(a.dataset.rank) - Number(b.dataset.rank));
  list.append(...identities);
}

function show(button) {
  for (const other of list.querySelectorAll('[aria-pressed="true"]')) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", "true");
  const { address, first, last } = button.dataset;
  player.hidden = false;
  document.getElementById("playing").textContent = button.title;
  video.hidden = !address;
  until = Number(last);
  if (!address) {
    cannotPlay();
  } else {
    document.getElementById("unplayable").hidden = true;
    if (video.getAttribute("src") !== address) video.setAttribute("src", address);
    video.currentTime = Number(first);
    video.play().catch(() => {}); // it stays paused there
  }
}

function cannotPlay() {
  video.hidden = true;
  const note = document.getElementById("unplayable");
  note.hidden = false;
  note.textContent = "The browser cannot play this video. identify --redraw writes one that it can.";
}

function close() {
  video.pause();
  player.hidden = true;
}

list.addEventListener("click", (event) => {
  const button = event.target.closest(".stretches button");
  if (button) show(button);
});
video.addEventListener("error", cannotPlay);
video.addEventListener("timeupdate", () => {
  if (video.currentTime > until && !video.paused) {
    until = Infinity;
    video.pause();
  }
});
document.getElementById("close").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  if (event.key === "/" && document.activeElement.tagName !== "INPUT") {
    event.preventDefault();
    document.getElementById("find").focus();
  }
});
document.getElementById("sort").addEventListener("change", sort);
filters.addEventListener("input", filter);
filters.addEventListener("reset", () => setTimeout(() => { filter(); sort(); }));
filters.addEventListener("submit", (event) => event.preventDefault());
filter();
