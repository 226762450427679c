// The tracks of a file as the server has them: an overview, and the boxes in chunks of frames.
import { get } from "./api.js";

const CHUNK = 150; // frames
const KEPT = 60; // chunks

export class TrackData {
  // `changed` is called when boxes have arrived, `behind` where the server has a newer state.
  constructor(changed, behind) {
    Object.assign(this, { changed, behind });
    this.clear();
  }

  clear() {
    [this.values, this.overview, this.chunks, this.stale, this.pending] = [null, null, new Map(), new Map(), new Set()];
  }

  async open(values) {
    const overview = await get("/api/correction", values);
    if (JSON.stringify(values) !== JSON.stringify(this.values)) this.clear();
    this.values = values;
    this.take(overview);
  }

  // A new state: boxes of the old one are shown until those of the new one are here.
  take(overview) {
    if (this.overview && overview.revision !== this.overview.revision) [this.stale, this.chunks] = [new Map([...this.stale, ...this.chunks]), new Map()];
    this.overview = overview;
  }

  get revision() {
    return this.overview?.revision ?? -1;
  }

  track(id) {
    return this.overview?.tracks.find((one) => one.id === id) ?? null;
  }

  // [track, x1, y1, x2, y2, kind] of each box of a frame; null while they are not here.
  boxes(frame) {
    const n = Math.floor(frame / CHUNK);
    const chunk = this.chunks.get(n) ?? this.stale.get(n);
    return chunk ? chunk[frame - n * CHUNK] ?? [] : null;
  }

  isFresh(frame) {
    return this.chunks.has(Math.floor(frame / CHUNK));
  }

  // Ask for the boxes around a frame, and for the next ones.
  async want(frame) {
    if (!this.overview) return;
    const n = Math.floor(frame / CHUNK);
    await this.load(n);
    if (frame - n * CHUNK > CHUNK / 2) this.load(n + 1);
    else if (n > 0 && frame - n * CHUNK < 30) this.load(n - 1);
  }

  async load(n) {
    const { values, revision } = this;
    const key = `${revision} ${n}`;
    if (this.chunks.has(n) || this.pending.has(key)) return;
    this.pending.add(key);
    try {
      const found = await get("/api/correction/boxes", { ...values, first: n * CHUNK, stop: (n + 1) * CHUNK });
      if (values !== this.values || revision !== this.revision) return;
      if (found.revision !== revision) {
        this.behind();
        return;
      }
      this.chunks.set(n, found.frames);
      this.stale.delete(n);
      if (this.chunks.size > KEPT) this.chunks.delete(this.chunks.keys().next().value);
      this.changed();
    } finally {
      this.pending.delete(key);
    }
  }
}
