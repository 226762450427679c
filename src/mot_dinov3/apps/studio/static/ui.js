// Small parts of a page: elements, messages, jobs, the file chooser.
import { ApiError, get, post } from "./api.js";

export const $ = (selector) => document.querySelector(selector);

// el("p.dim", {title: "…", onclick: …}, child, "text", …): text is always set as text, never as HTML.
export function el(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const made = document.createElement(tag);
  made.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (name === "color") made.style.setProperty("--color", value);
    else if (name.startsWith("aria-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// "Drag a box around **Anna**": the part between stars is bold.
export function marked(text) {
  return text.split("**").map((part, i) => (i % 2 ? el("b", {}, part) : part));
}

export function toast(text, { bad = false } = {}) {
  const shown = el(bad ? "p.toast.bad" : "p.toast", {}, text);
  $("#toasts").append(shown);
  setTimeout(() => shown.remove(), bad ? 9000 : 4000);
}

// Run an action of the user; every error is displayed, in one place.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (!(error instanceof ApiError)) console.error(error);
    toast(error.remedy ? `${error.message}\n${error.remedy}` : error.message, { bad: true });
    return undefined;
  }
}

// Replace the children of an element where what they show has changed: a click or the focus on one is not lost otherwise.
const filled = new WeakMap();
export function fill(parent, shown, make) {
  const text = JSON.stringify(shown);
  if (filled.get(parent) === text) return;
  filled.set(parent, text);
  parent.replaceChildren(...make());
}

// Seconds as 1:02.34, or 1:00:02.34.
export function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = (seconds % 60).toFixed(2).padStart(5, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// "1 track", "2 tracks".
export const counted = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
export const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

export const COLORS = ["#4cc2ff", "#ffb84c", "#5fd38a", "#ff7eb6", "#b79cff", "#ffe14c", "#4ce0d2", "#ff8a5c", "#9fd356"];
export const colorOf = (index) => COLORS[((index % COLORS.length) + COLORS.length) % COLORS.length];

// The color of a track, the same on every page: neighbouring ids get distant hues.
export const trackColor = (id) => `hsl(${Math.round((id * 137.508) % 360)} 75% 62%)`;

// A color of the style sheet, for canvases; read again when the theme changes.
const inks = new Map();
export function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return inks.get(name);
}

export function toggleTheme() {
  const { dataset } = document.documentElement;
  dataset.theme = dataset.theme === "light" ? "dark" : "light";
  localStorage.setItem("theme", dataset.theme);
  inks.clear();
  document.dispatchEvent(new Event("themed"));
}

// Ask before something is replaced; resolves to true or false.
export function confirmed(text, yes) {
  const dialog = $("#ask");
  [$("#ask-text").textContent, $("#ask-yes").textContent, dialog.returnValue] = [text, yes, "no"];
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// Show a dialog with a form; resolves to whether its main button was pressed.
export function accepted(dialog) {
  dialog.returnValue = "no";
  dialog.querySelector(".cancel").onclick = () => dialog.close("no");
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// Ask for a new name; resolves to it, or to "" where the dialog was cancelled.
export async function named(text, old) {
  [$("#naming-text").textContent, $("#naming-name").value] = [text, old];
  const answer = accepted($("#naming"));
  $("#naming-name").select();
  return (await answer) ? $("#naming-name").value.trim() : "";
}

// -- jobs -------------------------------------------------------------------------------------------------------------

const watched = new Map();

// Show a job until it is finished; resolves to its result, or to undefined where it failed or was cancelled.
export function watch(job, { onCancelled } = {}) {
  if (watched.has(job.id)) return watched.get(job.id);
  const promise = follow(job, onCancelled).finally(() => watched.delete(job.id));
  watched.set(job.id, promise);
  return promise;
}

async function follow(job, onCancelled) {
  const title = el("span", {}, job.title);
  const bar = el("progress");
  const cancel = el("button", { onclick: () => attempt(() => post("/api/cancel", { id: job.id })) }, "Cancel");
  const card = el("div.job", { data: { kind: job.kind } }, el("div.row", {}, title, el("span.grow"), cancel), bar);
  try {
    while (job.state === "waiting" || job.state === "running") {
      if (!card.isConnected) $("#jobs").append(card);
      const count = job.total ? ` ${Math.min(job.done, job.total)} / ${job.total}` : job.done ? ` ${job.done}` : "";
      title.textContent = `${job.title}${count}${job.message ? ` – ${job.message}` : ""}`;
      if (job.total) [bar.max, bar.value] = [job.total, Math.min(job.done, job.total)];
      job = (await get("/api/job", { id: job.id })).job;
    }
  } finally {
    card.remove();
  }
  if (job.state === "failed") throw new ApiError(job.error.message, job.error.remedy, 400);
  if (job.state === "cancelled") {
    toast("Cancelled.");
    onCancelled?.(job.result);
    return undefined;
  }
  return job.result;
}

// -- the file chooser -------------------------------------------------------------------------------------------------

const TITLES = {
  video: "Choose a video, or a folder of images",
  folder: "Choose the folder for the gallery: an existing or a new one",
  results: "Choose the folder of labels and results; None: the folder next to the video",
  tracks: "Choose a file of tracks: track-v1, MOTChallenge or CSV",
  truth: "Choose the ground truth",
  dets: "Choose the detections",
  report: "Choose the report of the run; None: no report",
  registry: "Choose a registry: the folder of identify --registry",
};

// Let the user choose; resolves to a path, "" for none, or null where it was cancelled.
export function choose(kind, start) {
  const dialog = $("#chooser");
  const [list, path, folder] = [$("#chooser-list"), $("#chooser-path"), $("#chooser-folder")];
  const [take, clear] = [$("#chooser-take"), $("#chooser-clear")];
  dialog.querySelector("h2").textContent = TITLES[kind];
  const ofFolders = ["folder", "results", "registry"].includes(kind);
  $("#chooser-new").hidden = !ofFolders || kind === "registry";
  clear.hidden = !["tracks", "results", "truth", "report"].includes(kind);
  folder.value = "";
  return new Promise((resolve) => {
    const finish = (value) => {
      dialog.onclose = null;
      dialog.close();
      resolve(value);
    };
    const show = (where) =>
      attempt(async () => {
        const found = await get("/api/files", { kind, path: where });
        path.value = found.path;
        const entry = (icon, item, go) => el("li", {}, el("button", { type: "button", onclick: go }, `${icon} ${item.name}`));
        const up = found.parent === null ? [] : [entry("↑", { name: "up" }, () => show(found.parent))];
        const folders = found.folders.map((item) => entry("▸", item, () => show(item.path)));
        const files = found.files.map((item) => entry("•", item, () => finish(item.path)));
        list.replaceChildren(...up, ...folders, ...files);
        if (!list.children.length) list.append(el("li.dim", {}, "empty folder"));
        take.hidden = !found.path || (!ofFolders && !(kind === "video" && found.images));
        take.textContent = kind === "video" ? `Use these ${found.images} images` : "Use this folder";
      });
    const typed = () => (path.value.match(/\.[A-Za-z0-9]{2,4}$/) && !ofFolders ? finish(path.value) : show(path.value));
    $("#chooser-go").onclick = typed;
    path.onkeydown = (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      typed();
    };
    const chosen = () => finish(folder.value.trim() ? `${path.value}/${folder.value.trim()}` : path.value);
    take.onclick = chosen;
    folder.onkeydown = (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (path.value) chosen();
    };
    clear.onclick = () => finish("");
    dialog.onclose = () => resolve(null);
    dialog.showModal();
    show(start);
  });
}
