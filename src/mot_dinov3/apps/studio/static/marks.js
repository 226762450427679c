// Style of points and outlines: labelled ones with a white ring or a full line, tracked ones dark or dashed, hidden ones hollow.
import { tag } from "./view.js";

export function drawOutline(context, view, item, { color, chosen, over }) {
  const corners = item.points.map(([x, y]) => view.toScreen(x, y));
  context.setLineDash(item.source === "human" ? [] : [5, 4]);
  trace(context, [...corners, corners[0]], color, chosen ? 3 : 1.5);
  context.setLineDash([]);
  if (!chosen && !over) return;
  context.fillStyle = "#fff";
  for (const [x, y] of corners) context.fillRect(x - 3, y - 3, 6, 6);
}

export function drawPoint(context, view, item, { color, chosen, over, naming }) {
  const [x, y] = view.toScreen(...item.points[0]);
  const human = item.source === "human";
  const size = chosen || over ? 7 : 5;
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  if (item.state === "occluded") {
    if (human) stroke(context, "#fff", 5);
    stroke(context, color, 2);
  } else {
    context.fillStyle = color;
    context.fill();
    stroke(context, human ? "#fff" : "#000", human ? 2 : 1);
  }
  if (size === 7 || naming) {
    context.font = "600 11px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = "#000b";
    context.strokeText(item.name, x + 9, y + 4);
    context.fillStyle = "#fff";
    context.fillText(item.name, x + 9, y + 4);
  }
  if (size === 7) tag(context, human ? item.instance : `${item.instance} ${item.score?.toFixed(2) ?? ""}`, x + 9, y - 8, color);
}

export function trace(context, places, color, width = 2) {
  context.beginPath();
  places.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  stroke(context, color, width);
}

function stroke(context, color, width) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}
