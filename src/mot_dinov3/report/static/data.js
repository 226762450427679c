// What the run left in the page, and how it is written for a reader. Times are seconds in the source.
const DATA = JSON.parse(document.getElementById("data").textContent);
const RUN = DATA.run;
const TRACKS = new Map(DATA.tracks.map((track) => [track.id, track]));

function el(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

const colorOf = (id) => TRACKS.get(id)?.color ?? "#8d99ae";
const swatch = (color) => Object.assign(el("i", { className: "dot" }), { style: `background:${color}` });
const percent = (time) => (100 * (time - RUN.begin)) / Math.max(RUN.end - RUN.begin, 1e-9);

function clock(seconds, digits = 1) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${(seconds - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`
    : `${seconds.toFixed(digits)} s`;
}

// "7", or "7 · Anna" where the identity is known.
const titleOf = (id) => [id, TRACKS.get(id)?.name].filter(Boolean).join(" · ");

function describe(track) {
  const kind = [track.class, track.name].filter(Boolean).join(", ");
  return `Track ${track.id}${kind ? ` (${kind})` : ""}: ${track.first.toFixed(1)} – ${track.last.toFixed(1)} s`;
}

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
function niceStep(range, count) {
  const rough = Math.max(range, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function ticks(low, high, count) {
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) }, (_, k) => (first + k) * step);
}

// A label at a part of an axis, in percent; at its end it stays within.
function axisLabel(text, place, className = "") {
  const end = place > 93 ? " end" : "";
  return Object.assign(el("span", { className: className + end }, text), { style: `left:${place}%` });
}

// The text of a packed table → its columns, `width` of them, one after the other.
async function unpacked(text, width) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const all = new Int32Array(await new Response(stream).arrayBuffer());
  const length = all.length / width;
  return Array.from({ length: width }, (_, k) => {
    const column = all.subarray(k * length, (k + 1) * length);
    for (let row = 1; row < length; row++) column[row] += column[row - 1];
    return column;
  });
}

// The boxes of every frame. Where only those of every Nth were kept, the others are interpolated.
class Boxes {
  static async unpack({ stride, frames, ticks: perSecond, times, tracks, counts, boxes }) {
    const made = new Boxes();
    const [moments] = await unpacked(times, 1);
    const columns = await unpacked(boxes, 6);
    made.stride = stride;
    made.frames = Math.max(frames, 1);
    made.times = moments.length ? Float64Array.from(moments, (moment) => moment / perSecond) : new Float64Array(1);
    made.samples = Array.from({ length: made.times.length }, () => new Map());
    let row = 0;
    tracks.forEach((id, k) => {
      for (const end = row + counts[k]; row < end; row++) {
        const [sample, x1, y1, x2, y2, detected] = columns.map((column) => column[row]);
        made.samples[sample].set(id, { id, box: [x1, y1, x2, y2], detected: detected === 1 });
      }
    });
    return made;
  }

  // Seconds since the first frame at which a frame begins; frames between two that were kept are evenly spaced.
  timeOf(frame) {
    const { times, stride } = this;
    const last = times.length - 1;
    const sample = Math.min(Math.floor(frame / stride), last);
    const step = last ? (sample < last ? times[sample + 1] - times[sample] : times[last] - times[last - 1]) : stride / RUN.fps;
    return times[sample] + (step * (frame - sample * stride)) / stride;
  }

  frameAt(seconds) {
    let [low, high] = [0, this.frames - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.timeOf(middle) <= seconds + 1e-4) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  at(frame) {
    const sample = Math.min(Math.floor(frame / this.stride), this.samples.length - 1);
    const part = (frame - sample * this.stride) / this.stride;
    const before = this.samples[sample];
    const after = this.samples[sample + 1];
    if (!part || !after) return [...before.values()];
    return [...before.values()].filter(({ id }) => after.has(id)).map(({ id, box, detected }) => {
      const next = after.get(id);
      return { id, detected: detected && next.detected, box: box.map((value, k) => value + part * (next.box[k] - value)) };
    });
  }

  // Midpoints of the lower edges of a track's boxes in the seconds before a frame.
  trail(id, frame, seconds) {
    const last = Math.floor(frame / this.stride);
    const first = Math.floor(this.frameAt(Math.max(0, this.timeOf(frame) - seconds)) / this.stride);
    return this.samples.slice(first, last + 1).filter((sample) => sample.has(id)).map((sample) => {
      const [x1, , x2, y2] = sample.get(id).box;
      return [(x1 + x2) / 2, y2];
    });
  }
}
