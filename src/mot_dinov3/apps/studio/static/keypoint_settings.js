// The form of all settings of a keypoint run, made from the options that the server lists; what is changed is kept per video.
import { get } from "./api.js";
import { option } from "./backend_choice.js";
import { $, attempt, el } from "./ui.js";

const GROUPS = { range: "#settings-range", outputs: "#settings-outputs", tracking: "#settings-tracking" };

export class KeypointSettings {
  constructor(studio) {
    Object.assign(this, { studio, options: [], changed: {}, key: "" });
    $("#settings-reset").onclick = () => this.reset();
    $("#range-here").onclick = () => this.set("start_frame", studio.player.shown);
    $("#range-to-here").onclick = () => this.set("end_frame", studio.player.shown + 1);
    $("#masks").onchange = () => this.set("masks", $("#masks").value);
  }

  // Show the settings of a video.
  async open(key) {
    if (!this.options.length) this.options = (await attempt(() => get("/api/keypoints/options")))?.options ?? [];
    this.key = `${key} settings`;
    this.changed = JSON.parse(localStorage.getItem(this.key) || "{}");
    this.build();
  }

  build() {
    for (const [group, place] of Object.entries(GROUPS)) {
      $(place).replaceChildren(...this.options.filter((one) => one.group === group).map((one) => this.field(one)));
    }
    const sources = this.studio.backend.choices?.masks ?? [];
    $("#masks").replaceChildren(...sources.map((one) => option(one)));
    for (const [i, one] of sources.entries()) $("#masks").options[i].disabled = Boolean(one.reason);
    this.refresh();
  }

  field(one) {
    const input = one.choices.length
      ? el("select", {}, one.choices.map((name) => el("option", { value: name }, name)))
      : el("input", { type: { flag: "checkbox", whole: "number", number: "number" }[one.kind] ?? "text" });
    input.id = `setting-${one.key}`;
    input.spellcheck = false;
    if (input.type === "number") Object.assign(input, { step: one.kind === "whole" ? 1 : "any", min: one.low ?? "", max: one.high ?? "", placeholder: one.default ?? "" });
    input.onchange = () => this.set(one.key, valueOf(input, one));
    const reset = el("button.reset", { type: "button", title: "Back to the default", "aria-label": `${one.label}: back to the default`, onclick: () => this.set(one.key, one.default) }, "↺");
    const meaning = [one.help, one.default === null || one.default === "" ? "" : `default ${shown(one.default)}`, one.range].filter(Boolean).join("; ");
    return el("div.setting", { data: { key: one.key } }, el("label", { htmlFor: input.id }, one.label), input, reset, el("p.dim", {}, meaning));
  }

  set(key, value) {
    const one = this.options.find((known) => known.key === key);
    if (value === one.default || value === null) delete this.changed[key];
    else this.changed[key] = value;
    localStorage.setItem(this.key, JSON.stringify(this.changed));
    this.refresh();
  }

  reset() {
    for (const one of this.options) if (one.group !== "range") delete this.changed[one.key];
    localStorage.setItem(this.key, JSON.stringify(this.changed));
    this.refresh();
  }

  // The fields show the values; number fields whose content is refused are marked by the browser.
  refresh() {
    for (const one of this.options) {
      const input = $(`#setting-${one.key}`) ?? $("#masks");
      const value = this.changed[one.key] ?? one.default;
      if (input.type === "checkbox") input.checked = value;
      else input.value = input.type === "number" && !(one.key in this.changed) && one.key !== "start_frame" ? "" : value ?? "";
      input.closest(".setting")?.classList.toggle("changed", one.key in this.changed);
    }
    const mask = this.studio.backend.choices?.masks.find((one) => one.name === $("#masks").value);
    const refused = (this.studio.backend.choices?.masks ?? []).filter((one) => one.reason);
    $("#masks-facts").textContent = [mask?.meaning, ...refused.map((one) => `not available: ${one.reason}`)].filter(Boolean).join("; ");
    const count = this.options.filter((one) => one.group !== "range" && one.group !== "masks" && one.key in this.changed).length;
    $("#settings-count").textContent = count ? `${count} changed` : "";
    $("#settings-reset").disabled = !count;
  }
}

function valueOf(input, one) {
  if (input.type === "checkbox") return input.checked;
  if (input.type === "number") return input.value === "" ? null : Number(input.value);
  return input.value.trim() || null;
}

const shown = (value) => ({ true: "on", false: "off" })[value] ?? value;
