// Edits of many frames at once, through the server: swaps from this frame on, new names, and undoing what is saved.
import { post } from "./api.js";
import { $, accepted, attempt, el, named, toast, watch } from "./ui.js";

export class LabelEdits {
  // `page` is the Keypoints page: what is not saved yet is saved first, and it shows the labels again afterwards.
  constructor(page) {
    this.page = page;
    for (const what of ["instance", "keypoint"]) {
      $(`#rename-${what}`).onclick = () => this.rename(what);
      $(`#swap-${what}`).onclick = () => this.swap(what);
    }
  }

  // Names are exchanged among the animals, or among the points of the selected one.
  names(what) {
    return what === "instance" ? this.page.allInstances() : this.page.allNames();
  }

  chosen(what) {
    return what === "instance" ? this.page.instance : this.page.name;
  }

  refresh() {
    for (const what of ["instance", "keypoint"]) {
      $(`#rename-${what}`).disabled = !this.chosen(what);
      $(`#swap-${what}`).disabled = !this.chosen(what) || this.names(what).length < 2;
    }
  }

  async swap(what) {
    const { page } = this;
    const [chosen, frame] = [this.chosen(what), page.shown.frame];
    if (!chosen || this.names(what).length < 2 || frame < 0) return;
    const next = page.overview.labelled.find((n) => n > frame);
    const of = what === "keypoint" ? ` of ${page.instance}` : "";
    $("#swap-text").textContent = `Exchange ${chosen}${of} with`;
    $("#swap-other").replaceChildren(...this.names(what).filter((name) => name !== chosen).map((name) => el("option", { value: name }, name)));
    $("#swap-next-text").textContent = next === undefined ? `from frame ${frame} to the end; no later frame is labelled` : `from frame ${frame} to ${next - 1}, before the next labelled frame`;
    $("#swap-end-text").textContent = `from frame ${frame} to the end, also in the labelled frames`;
    $("#swap-end").closest("label").hidden = next === undefined;
    $("#swap-next").checked = true;
    if (!(await accepted($("#swap")))) return;
    const other = $("#swap-other").value;
    const values = what === "instance" ? { instance: chosen, other } : { instance: page.instance, name: chosen, other };
    await this.edit("/api/keypoints/swap", { n: frame, to_end: $("#swap-end").checked, ...values }, "Swapped; track the points to compute these frames again.");
  }

  async rename(what) {
    const { page } = this;
    const old = this.chosen(what);
    if (!old) return;
    const name = await named(`New name of ${old}, in all frames`, old);
    if (!name || name === old) return;
    const saved = what === "instance" ? page.overview.instances.some((one) => one.name === old) : page.overview.names.includes(old);
    if (saved || page.drafts.size) await this.edit("/api/keypoints/rename", { kind: what, old, new: name }, `${old} is ${name} now.`);
    else if (this.names(what).includes(name)) toast(`There is another ${what} ${name}.`, { bad: true });
    else page.replaceNames(what === "instance" ? { instances: { [old]: name }, keypoints: {} } : { instances: {}, keypoints: { [old]: name } });
  }

  undo() {
    return this.edit("/api/keypoints/undo", {}, "");
  }

  async edit(address, values, message) {
    const { page } = this;
    if (page.drafts.size && !(await page.save())) return;
    const revision = page.shown.revision;
    const done = await attempt(async () => watch((await post(address, page.values({ revision, ...values }))).job));
    if (!done) return;
    page.replaceNames(done);
    await page.load();
    toast(message || `Undone: ${done.title}.`);
  }
}
