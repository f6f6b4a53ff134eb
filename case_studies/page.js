"use strict";

const TEXTS = JSON.parse(document.getElementById("texts").textContent);
const filled = (key, values = {}) => TEXTS[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// The rule of the verdicts once more, for the seeds that the reader leaves in.
function judge(data, values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const half = data.quantiles[values.length - 2] * Math.sqrt(variance / values.length);
  const [low, high] = data.claimed.map((end, side) => end ?? (side ? Infinity : -Infinity));
  const [from, to] = [mean - half, mean + half];
  const verdict = from > low && to < high ? "supported" : to < low || from > high ? "not supported" : "inconclusive";
  return { mean, from, to, verdict };
}

// The verdict of a claim whose parts must all hold, or any one.
function combined(verdicts, which) {
  const decisive = which === "all" ? "not supported" : "supported";
  const found = [decisive, "inconclusive"].find((verdict) => verdicts.includes(verdict));
  return found ?? (which === "all" ? "supported" : "not supported");
}

const number = (data, value) =>
  Number((data.ratio ? Math.exp(value) : value).toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
const shown = (data, value) => number(data, value) + data.unit;
const position = (data, value) =>
  100 * Math.min(1, Math.max(0, (value - data.axis[0]) / (data.axis[1] - data.axis[0])));

function badge(element, verdict, text) {
  const [symbol, word] = TEXTS.verdicts[verdict];
  element.className = `verdict ${verdict.replace(" ", "-")}`;
  const sign = Object.assign(document.createElement("span"), { textContent: symbol, ariaHidden: "true" });
  element.replaceChildren(sign, ` ${text ?? word}`);
}

// A statement of a claim: redraws its interval and says its verdict for the seeds that are left.
function connect(part) {
  const json = part.querySelector("script.data");
  if (!json) return null;
  const data = JSON.parse(json.textContent);
  const caption = part.querySelector("figcaption");
  const original = caption.textContent;
  const bar = part.querySelector(".interval");
  const all = Object.keys(data.values);
  const say = (text) => {
    caption.textContent = text;
    part.querySelector(".tall").setAttribute("aria-label", text);
  };
  const update = (seeds) => {
    if (!bar) return data.verdict;
    const left = all.filter((seed) => seeds.has(seed));
    all.forEach((seed) => part.querySelector(`.dot[data-seed="${seed}"]`).classList.toggle("off", !seeds.has(seed)));
    bar.hidden = left.length < 2;
    if (left.length < 2) {
      say(TEXTS.two_seeds);
      return "inconclusive";
    }
    const { mean, from, to, verdict } = judge(data, left.map((seed) => data.values[seed]));
    bar.style.left = `${position(data, from)}%`;
    bar.style.right = `${100 - position(data, to)}%`;
    if (left.length === all.length) {
      say(original);
      return data.verdict;
    }
    const said = { kept: left.length, all: all.length, verdict: TEXTS.verdicts[verdict][1] };
    const values = { mean: shown(data, mean), low: number(data, from), high: shown(data, to) };
    say(capitalized(filled("with_seeds", { ...said, ...values })));
    return verdict;
  };
  return { part, data, update, judged: bar !== null };
}

function letSeedsBeSwitchedOff(claim, parts) {
  const rule = JSON.parse(claim.querySelector("script.rule").textContent);
  const [result, note] = [claim.querySelector(".result .verdict"), claim.querySelector(".result .note")];
  const original = { look: result.className, content: [...result.childNodes], note: note.textContent };
  const seeds = claim.querySelector(".seeds");
  const boxes = [...seeds.querySelectorAll("input")];
  seeds.hidden = false;
  seeds.addEventListener("change", () => {
    const left = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const verdicts = parts.map((part) => part.update(left));
    if (left.size === boxes.length || rule.verdict === "void") {
      result.className = original.look;
      result.replaceChildren(...original.content);
      note.textContent = original.note;
      return;
    }
    const verdict = combined(verdicts, rule.which);
    badge(result, verdict, filled("with_seeds_short", { verdict: TEXTS.verdicts[verdict][1] }));
    note.textContent = "";
  });
}

// The ends of the slider are round and as far to one side as to the other, so that they do not give the answer away.
function ends({ axis, level, ratio, unit }) {
  if (level && unit.trim() === "%") return [0, 100];
  const most = 1.7 * Math.max(...axis.map(Math.abs));
  if (ratio) return [-1, 1].map((side) => side * Math.LN10 * Math.ceil(most / Math.LN10));
  const decade = 10 ** Math.floor(Math.log10(most));
  const reach = decade * [1, 2, 5, 10].find((factor) => factor * decade >= most);
  return [level ? 0 : -reach, reach];
}

function letGuessFirst(claim, { part, data }) {
  const form = claim.querySelector(".guess");
  const slider = form.querySelector("input");
  const entry = document.querySelector(`.contents [data-claim="${claim.id}"]`);
  const [low, high] = ends(data);
  const value = () => low + (high - low) * (slider.value / 1000);
  const tell = () => {
    form.querySelector("output").textContent = shown(data, value());
    slider.setAttribute("aria-valuetext", shown(data, value()));
  };
  const show = () => {
    claim.classList.remove("unguessed");
    entry.classList.remove("unguessed");
    form.hidden = true;
    if (!document.querySelector(".claim.unguessed")) document.body.classList.remove("guessing");
  };
  slider.addEventListener("input", tell);
  form.addEventListener("submit", (event) => event.preventDefault());
  tell();
  form.hidden = false;
  [claim, entry].forEach((element) => element.classList.add("unguessed"));
  form.querySelector("button").addEventListener("click", () => {
    const mark = Object.assign(document.createElement("i"), { className: "guessed", title: TEXTS.your_guess });
    mark.style.left = `${position(data, value())}%`;
    part.querySelector(".tall").append(mark);
    const values = Object.values(data.values);
    const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
    const said = filled("guessed", { guess: shown(data, value()), mean: shown(data, mean) });
    part.querySelector("figcaption").before(Object.assign(document.createElement("p"), { className: "told", textContent: said }));
    show();
    claim.querySelector(".result").focus();
  });
  return show;
}

const shows = [];
document.querySelectorAll(".claim").forEach((claim) => {
  const parts = [...claim.querySelectorAll(".part")].map(connect).filter(Boolean);
  if (parts.some((part) => part.judged)) {
    letSeedsBeSwitchedOff(claim, parts);
    shows.push(letGuessFirst(claim, parts[0]));
  }
});
if (shows.length) {
  document.body.classList.add("guessing");
  const controls = document.querySelector(".controls");
  controls.hidden = false;
  controls.querySelector("button").addEventListener("click", () => {
    shows.forEach((show) => show());
    controls.hidden = true;
  });
}
