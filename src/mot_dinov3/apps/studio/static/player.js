// The frames of a video: displayed as they arrive, prefetched, and cached.
import { get, image } from "./api.js";

const MAX_PIXELS = 80_000_000; // of cached images: 320 MB
const AHEAD = 6;

export class Player extends EventTarget {
  constructor(view) {
    super();
    this.view = view;
    this.close();
  }

  close() {
    this.stop?.();
    for (const held of this.held?.values() ?? []) held.then((p) => p.bitmap.close(), () => {});
    this.info = null;
    this.held = new Map(); // frame → promise of an image, the oldest first
    [this.wanted, this.shown, this.direction, this.time] = [0, -1, 1, 0];
    this.pumping = this.playing = false;
  }

  async open(path, frame = 0) {
    const info = await get("/api/video", { path });
    this.close();
    this.info = info;
    this.wanted = Math.min(frame, this.last);
    this.dispatchEvent(new Event("opened"));
    if (!info.complete) this.learn(info);
    await this.pump();
    return info;
  }

  // The server is still indexing the frames: poll until the index is complete.
  async learn(info) {
    while (this.info === info && !info.complete) {
      await new Promise((resolve) => setTimeout(resolve, 400));
      Object.assign(info, await get("/api/video", { path: info.path }).catch(() => ({})));
    }
    if (this.info !== info) return;
    this.wanted = Math.min(this.wanted, this.last);
    this.dispatchEvent(new Event("opened"));
  }

  get last() {
    return Math.max(0, (this.info?.frames ?? 1) - 1);
  }

  go(frame) {
    if (!this.info) return;
    frame = Math.min(Math.max(Math.round(frame), 0), this.last);
    if (frame !== this.wanted) this.direction = Math.sign(frame - this.wanted);
    this.wanted = frame;
    this.pump().catch((error) => this.dispatchEvent(new CustomEvent("failed", { detail: error })));
  }

  step(by) {
    this.stop();
    this.go(this.wanted + by);
  }

  load(frame) {
    let found = this.held.get(frame);
    this.held.delete(frame);
    if (!found) {
      found = image("/api/frame", { path: this.info.path, n: frame, v: this.info.stamp });
      found.catch(() => this.held.delete(frame));
    }
    this.held.set(frame, found);
    const most = Math.max(8, Math.floor(MAX_PIXELS / (this.info.width * this.info.height)));
    for (const [old, one] of this.held) {
      if (this.held.size <= most) break;
      if (old === this.shown || old === this.wanted) continue;
      this.held.delete(old);
      one.then((p) => p.bitmap.close(), () => {});
    }
    return found;
  }

  // Show the wanted frame; while one is being loaded only the newest request counts.
  async pump() {
    if (this.pumping || !this.info) return;
    this.pumping = true;
    const { info } = this;
    try {
      while (this.info === info && this.shown !== this.wanted) {
        const frame = this.wanted;
        const { bitmap, time } = await this.load(frame);
        if (this.info !== info) return;
        [this.shown, this.time] = [frame, time];
        this.view.show(bitmap, info.width, info.height);
        this.dispatchEvent(new Event("frame"));
      }
    } finally {
      if (this.info === info) this.pumping = false;
    }
    for (let i = 1; i <= AHEAD && this.info === info && this.shown === this.wanted; i++) {
      const next = this.shown + i * this.direction;
      if (next >= 0 && next <= this.last) await this.load(next).catch(() => {});
    }
  }

  toggle() {
    if (this.playing) this.stop();
    else this.play();
  }

  play() {
    if (!this.info) return;
    if (this.wanted >= this.last) this.go(0);
    [this.playing, this.direction] = [true, 1];
    const { info } = this;
    const [from, began] = [this.wanted, performance.now()];
    const tick = (now) => {
      if (!this.playing || this.info !== info) return;
      const frame = from + Math.floor(((now - began) / 1000) * info.fps);
      this.go(frame);
      if (frame >= this.last) this.stop();
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    this.dispatchEvent(new Event("playing"));
  }

  stop() {
    if (!this.playing) return;
    this.playing = false;
    this.dispatchEvent(new Event("playing"));
  }
}
