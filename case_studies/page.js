"use strict";

// The rule of the verdicts once more, for the seeds that the reader leaves in.
function judge(data, values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const half = data.quantiles[values.length - 2] * Math.sqrt(variance / values.length);
  const [low, high] = data.claimed.map((end, side) => end ?? (side ? Infinity : -Infinity));
  const [from, to] = [mean - half, mean + half];
  const verdict = from > low && to < high ? "Supported" : to < low || from > high ? "Not supported" : "Inconclusive";
  return { mean, from, to, verdict };
}

const shown = (data, value) => (data.ratio ? Math.exp(value) : value).toPrecision(3);
const position = (data, value) =>
  100 * Math.min(1, Math.max(0, (value - data.axis[0]) / (data.axis[1] - data.axis[0])));

function connect(part) {
  const json = part.querySelector("script");
  if (!json) return null;
  const data = JSON.parse(json.textContent);
  const caption = part.querySelector("figcaption");
  const original = caption.textContent;
  const boxes = [...part.querySelectorAll(".seeds input")];
  const bar = part.querySelector(".interval");
  if (!bar) return data;
  part.querySelector(".seeds").hidden = false;
  boxes.forEach((box) => box.addEventListener("change", () => {
    const kept = boxes.filter((one) => one.checked).map((one) => data.values[one.value]);
    boxes.forEach((one) => part.querySelector(`.dot[data-seed="${one.value}"]`).classList.toggle("off", !one.checked));
    if (kept.length === boxes.length) caption.textContent = original;
    if (kept.length < 2) caption.textContent = "An interval needs two seeds.";
    if (kept.length < 2) return;
    const { mean, from, to, verdict } = judge(data, kept);
    bar.style.left = `${position(data, from)}%`;
    bar.style.right = `${100 - position(data, to)}%`;
    if (kept.length < boxes.length) {
      caption.textContent =
        `With ${kept.length} of ${boxes.length} seeds: ${verdict.toLowerCase()}, ${shown(data, mean)}, interval ` +
        `${shown(data, from)} to ${shown(data, to)}. Seeds that are chosen after the fact prove nothing.`;
    }
  }));
  return data;
}

document.querySelectorAll(".claim").forEach((claim) => {
  const parts = [...claim.querySelectorAll(".part")];
  const [data] = parts.map(connect);
  const form = claim.querySelector(".guess");
  if (!data) return;
  const slider = form.querySelector("input");
  // As far to the other side as to this one, so that the ends do not give the answer away.
  const reach = 1.7 * Math.max(...data.axis.map(Math.abs));
  const value = () => reach * (slider.value / 500 - 1);
  const tell = () => { form.querySelector("output").textContent = shown(data, value()); };
  slider.addEventListener("input", tell);
  tell();
  form.hidden = false;
  claim.classList.add("unguessed");
  form.querySelector("button").addEventListener("click", () => {
    const mark = Object.assign(document.createElement("i"), { className: "guessed", title: "your guess" });
    mark.style.left = `${position(data, value())}%`;
    parts[0].querySelector(".tall").append(mark);
    claim.classList.remove("unguessed");
    form.hidden = true;
  });
});
