// One choice of backend and model for the pages Keypoints and Similarity: both show it, and a change in one is a change in both.
import { get } from "./api.js";
import { $, attempt, el } from "./ui.js";

const KEPT = "backend"; // in the browser's storage
const OTHER = "…"; // a model that is not in the list

export class BackendChoice {
  constructor() {
    this.value = { backend: "auto", model: "" };
    this.forms = [];
    this.choices = null; // {backends, masks}, as the server has them
    this.other = false;
  }

  // The elements whose ids begin with `prefix` show the choice; `changed` is called after each change of a user there.
  form(prefix, changed = () => {}) {
    const parts = Object.fromEntries(["backend", "model", "other", "facts"].map((name) => [name, $(`#${prefix}-${name}`)]));
    this.forms.push(parts);
    parts.backend.onchange = () => this.set({ backend: parts.backend.value, model: "" }, changed);
    parts.model.onchange = () => {
      this.other = parts.model.value === OTHER;
      this.set({ model: this.other ? "" : parts.model.value }, this.other ? () => parts.other.focus() : changed);
    };
    parts.other.onchange = () => this.set({ model: parts.other.value.trim() }, changed);
  }

  // Ask the server, once, what there is.
  async load() {
    this.loading ??= attempt(() => get("/api/backends"));
    const choices = await this.loading;
    if (!choices || this.choices) return;
    this.choices = choices;
    const kept = JSON.parse(localStorage.getItem(KEPT) || "{}");
    if (this.find(kept.backend)) this.value = { backend: kept.backend, model: kept.model ?? "" };
    this.other = Boolean(this.value.model) && !this.find(this.value.backend).models.some((model) => model.name === this.value.model);
    this.show();
  }

  find(name) {
    return this.choices.backends.find((one) => one.name === name);
  }

  set(change, changed) {
    Object.assign(this.value, change);
    if (change.backend) this.other = false;
    localStorage.setItem(KEPT, JSON.stringify(this.value));
    this.show();
    changed();
  }

  show() {
    const { backend, model } = this.value;
    const { meaning, models, reason } = this.find(backend);
    const chosen = models.find((one) => one.name === model);
    for (const parts of this.forms) {
      parts.backend.replaceChildren(...this.choices.backends.map((one) => option(one)));
      parts.backend.value = backend;
      parts.model.replaceChildren(option({ name: "", reason: "" }, "default model"), ...models.map((one) => option(one)), option({ name: OTHER, reason: "" }, "other …"));
      parts.model.value = this.other ? OTHER : model;
      parts.model.hidden = !models.length;
      parts.other.hidden = !this.other;
      parts.other.value = this.other ? model : "";
      parts.facts.textContent = [meaning, chosen?.meaning, chosen?.reason || (model ? "" : reason)].filter(Boolean).join("; ");
    }
  }
}

export function option({ name, reason }, text = name) {
  return el("option", { value: name }, reason ? `${text} – ${reason}` : text);
}
