// The video with the boxes of the tracks above it. Without a video, the boxes move over the background image.
const TRAIL_S = 2;

class Player {
  constructor(boxes) {
    this.boxes = boxes;
    this.frame = 0;
    this.speed = 1;
    this.selected = this.other = this.hovered = null;
    this.visible = () => true;
    this.onframe = this.onpick = () => {};
    this.stage = document.getElementById("stage");
    this.video = document.getElementById("video");
    this.canvas = document.getElementById("overlay");
    this.tip = document.getElementById("tip");
    this.background = new Image();
    this.background.onload = () => this.draw();
    if (DATA.image.background) this.background.src = DATA.image.background;
    this.clock = null; // plays without a video: since when, and from where
    this.hasVideo = false;
    this.fit(DATA.image.width, DATA.image.height);
    this.wireVideo();
    this.wirePointer();
    new ResizeObserver(() => this.draw()).observe(this.stage);
    this.open(DATA.video);
  }

  fit(width, height) {
    this.stage.style.aspectRatio = `${width} / ${Math.max(height, 1)}`;
    this.stage.style.setProperty("--ratio", width / Math.max(height, 1));
  }

  // -- the video ------------------------------------------------------------------------------------------------------

  open(address) {
    if (address) this.video.src = address;
    else this.missing("This run wrote no video: the boxes are shown over the background.");
  }

  missing(text) {
    this.hasVideo = false;
    this.video.hidden = true;
    document.getElementById("video-note").hidden = false;
    document.getElementById("video-reason").textContent = text;
    this.draw();
  }

  wireVideo() {
    const { video } = this;
    video.addEventListener("loadedmetadata", () => {
      this.hasVideo = true;
      video.hidden = false;
      document.getElementById("video-note").hidden = true;
      this.fit(video.videoWidth, video.videoHeight);
      this.show(this.frame);
    });
    video.addEventListener("error", () => {
      const embedded = DATA.video.startsWith("data:");
      this.missing(embedded ? "This browser cannot play the format of the video in this report."
        : `The video ${decodeURIComponent(DATA.video).split("/").pop()} is not where this report expects it, or this ` +
          "browser cannot play its format.");
    });
    video.addEventListener("play", () => this.run());
    video.addEventListener("pause", () => this.state());
    video.addEventListener("seeked", () => this.draw());
    document.getElementById("video-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.open(URL.createObjectURL(target.files[0]));
    });
  }

  get playing() {
    return this.hasVideo ? !this.video.paused && !this.video.ended : this.clock !== null;
  }

  get time() {
    return RUN.begin + this.boxes.timeOf(this.frame);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.frame >= this.boxes.frames - 1) this.show(0);
    if (this.hasVideo) this.video.play();
    else {
      this.clock = { since: performance.now(), from: this.boxes.timeOf(this.frame) };
      this.run();
    }
  }

  pause() {
    this.video.pause();
    this.clock = null;
    this.state();
  }

  setSpeed(speed) {
    this.speed = this.video.playbackRate = speed;
    if (this.clock) this.clock = { since: performance.now(), from: this.boxes.timeOf(this.frame) };
  }

  run() {
    this.state();
    const tick = () => {
      if (!this.playing) return;
      const passed = this.clock ? this.clock.from + (this.speed * (performance.now() - this.clock.since)) / 1e3 : 0;
      this.moved(this.boxes.frameAt(this.hasVideo ? this.video.currentTime : passed));
      if (!this.hasVideo && this.frame >= this.boxes.frames - 1) this.pause();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  state() {
    const button = document.getElementById("play");
    button.textContent = this.playing ? "❚❚" : "▶";
    button.setAttribute("aria-label", this.playing ? "pause" : "play");
  }

  // -- going to a frame -----------------------------------------------------------------------------------------------

  show(frame) {
    const wanted = Math.min(Math.max(Math.round(frame), 0), this.boxes.frames - 1);
    const [time, next] = [this.boxes.timeOf(wanted), this.boxes.timeOf(wanted + 1)];
    if (this.hasVideo) this.video.currentTime = (time + next) / 2; // the middle: no rounding leads to another frame
    if (this.clock) this.clock = { since: performance.now(), from: time };
    this.moved(wanted);
  }

  step(frames) {
    this.pause();
    this.show(this.frame + frames);
  }

  seek(time) {
    this.show(this.boxes.frameAt(time - RUN.begin));
  }

  moved(frame) {
    this.frame = frame;
    this.draw();
    this.onframe(this.time, frame);
  }

  // -- boxes ----------------------------------------------------------------------------------------------------------

  select(id, other = null) {
    this.selected = id;
    this.other = other;
    this.draw();
  }

  draw() {
    const { canvas, stage } = this;
    const dense = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(stage.clientWidth * dense), Math.round(stage.clientHeight * dense)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!this.hasVideo && this.background.complete && this.background.naturalWidth) {
      context.drawImage(this.background, 0, 0, width, height);
    }
    this.scale = [width / DATA.image.width, height / DATA.image.height];
    this.pen = dense;
    const boxes = this.boxes.at(this.frame).sort((a, b) => (a.id === this.selected) - (b.id === this.selected));
    for (const one of boxes) {
      const chosen = one.id === this.selected;
      if (chosen) this.drawTrail(context, one.id);
      if (chosen || one.id === this.other || one.id === this.hovered || (!this.hasVideo && this.visible(one.id))) {
        this.drawBox(context, one, chosen ? 4 : one.id === this.other ? 3 : 2);
      }
    }
  }

  drawBox(context, { id, box, detected }, line) {
    const [x1, y1, x2, y2] = box.map((value, k) => value * this.scale[k % 2]);
    context.setLineDash(detected ? [] : [6 * this.pen, 4 * this.pen]);
    for (const [color, wide] of [["#fff", line + 3], [colorOf(id), line]].slice(line > 2 ? 0 : 1)) {
      context.strokeStyle = color;
      context.lineWidth = wide * this.pen;
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
    context.setLineDash([]);
    context.font = `600 ${12 * this.pen}px system-ui, sans-serif`;
    const title = titleOf(id);
    const [wide, tall] = [context.measureText(title).width + 8 * this.pen, 17 * this.pen];
    const left = Math.max(0, Math.min(x1, this.canvas.width - wide));
    const top = id === this.other ? Math.min(y2, this.canvas.height - tall) : Math.max(0, y1 - tall);
    context.fillStyle = line > 2 ? "#fff" : "rgb(20 26 36 / .75)";
    context.fillRect(left, top, wide, tall);
    context.fillStyle = line > 2 ? "#111827" : "#fff";
    context.fillText(title, left + 4 * this.pen, top + 13 * this.pen);
  }

  drawTrail(context, id) {
    context.beginPath();
    this.boxes.trail(id, this.frame, TRAIL_S).forEach(([x, y]) => context.lineTo(x * this.scale[0], y * this.scale[1]));
    context.strokeStyle = colorOf(id);
    context.lineWidth = 3 * this.pen;
    context.stroke();
  }

  // -- the pointer ----------------------------------------------------------------------------------------------------

  under(event) {
    const place = this.stage.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * DATA.image.width;
    const y = ((event.clientY - place.top) / place.height) * DATA.image.height;
    const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    const inside = ({ box: [x1, y1, x2, y2] }) => x >= x1 && x < x2 && y >= y1 && y < y2;
    return this.boxes.at(this.frame).filter(inside).sort((a, b) => area(a) - area(b))[0] ?? null;
  }

  wirePointer() {
    this.stage.addEventListener("pointermove", (event) => this.hover(this.under(event), event));
    this.stage.addEventListener("pointerleave", () => this.hover(null));
    this.stage.addEventListener("click", (event) => {
      const found = this.under(event);
      if (found) this.onpick(found.id);
      else this.toggle();
    });
  }

  hover(found, event) {
    this.tip.hidden = !found;
    if (found) {
      const track = TRACKS.get(found.id);
      this.tip.textContent = track ? describe(track) : `Track ${found.id}`;
      const place = this.stage.getBoundingClientRect();
      const left = Math.min(event.clientX - place.left + 14, place.width - this.tip.offsetWidth - 4);
      this.tip.style.left = `${Math.max(0, left)}px`;
      this.tip.style.top = `${Math.max(0, event.clientY - place.top - 34)}px`;
    }
    if ((found?.id ?? null) !== this.hovered) {
      this.hovered = found?.id ?? null;
      this.draw();
    }
  }
}
