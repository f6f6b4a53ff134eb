"use strict";

const test = JSON.parse(document.getElementById("test").textContent);
const texts = JSON.parse(document.getElementById("texts").textContent);
const element = (id) => document.getElementById(id);
const count = test.pictures.length;
const STATE = `human_test-${test.id}`, LANGUAGE = "human_test-language";
const DEAD_TIME = 200; // milliseconds in which nobody can have judged an image: the second half of a double click
const KEYS = { f: "fake", arrowleft: "fake", j: "real", arrowright: "real" };
const truth = masked(test.key, test.id);

let language = "en";
let keeps = true; // whether this browser stores anything
let state = restored();
let shownAt = null; // when the picture could be seen; null before that
let told = false; // whether the verdict on the current picture is shown

// The counterpart of `masked` in protocol.py.
function masked(bits, key) {
  let hash = 0x811c9dc5;
  return [...bits].map((bit, position) => {
    for (const character of `${key}:${position}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0;
    return Number(bit) ^ ((hash >>> 15) & 1);
  });
}

// What is kept in the browser

function read(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function keep(key, value) {
  try { localStorage.setItem(key, value); } catch { keeps = false; }
}

function restored() {
  keep("human_test-try", "1");
  try {
    const kept = JSON.parse(read(STATE));
    const complete = kept.order.length === count && new Set(kept.order).size === count;
    const known = kept.order.every((image) => Number.isInteger(image) && image >= 0 && image < count);
    const inOrder = kept.votes.length <= count && kept.votes.every((vote, position) => vote.image === kept.order[position]);
    if (complete && known && inOrder && typeof kept.participant === "string") return kept;
  } catch { /* nothing kept, or not by this page */ }
  return { participant: randomName(), order: shuffled(), started: null, votes: [] };
}

function randomName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Each person has an order of their own, so that no image is always the one that tired people see.
function shuffled() {
  const order = Array.from({ length: count }, (_, image) => image);
  const random = crypto.getRandomValues(new Uint32Array(count));
  for (let last = count - 1; last > 0; last--) {
    const other = random[last] % (last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// Words

function say(key, values = {}) {
  return texts[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function percent(share) {
  return say("percent", { number: (100 * share).toFixed(1) });
}

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = language;
  document.title = say("title");
  document.querySelectorAll("[data-text]").forEach((node) => { node.textContent = say(node.dataset.text); });
  document.querySelectorAll("[data-language]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  });
}

function firstLanguage() {
  const kept = read(LANGUAGE);
  if (kept in texts) return kept;
  if (test.language !== "auto") return test.language;
  return navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
}

// The three views

function show(view) {
  for (const id of ["introduction", "trial", "end"]) element(id).hidden = id !== view;
}

function showIntroduction() {
  show("introduction");
  const done = state.votes.length;
  element("what").textContent = say("introduction", { count, data: texts[language].data_sets[test.data] ?? test.data });
  element("when-told").textContent = say(test.feedback ? "told_after_each" : "told_at_the_end");
  element("whether-kept").textContent = say(keeps ? "kept" : "not_kept");
  element("done-before").textContent = done ? say("welcome_back", { done, count }) : "";
  element("begin").textContent = done ? say("go_on", { next: done + 1 }) : say("begin");
}

function source(image) {
  return `data:image/png;base64,${test.pictures[image]}`;
}

async function showTrial() {
  show("trial");
  const done = told ? state.votes.length - 1 : state.votes.length;
  const picture = element("picture"), image = state.order[done];
  element("bar").max = count;
  element("bar").value = done;
  element("position").textContent = say("image", { current: done + 1, count });
  picture.alt = element("position").textContent;
  tell();
  fit();
  if (picture.dataset.image === String(image)) return; // only the language was changed
  picture.dataset.image = image;
  picture.src = source(image);
  shownAt = null;
  await picture.decode().catch(() => {});
  if (picture.dataset.image === String(image)) shownAt = performance.now();
}

function tell() {
  const last = state.votes.at(-1);
  element("verdict").hidden = !test.feedback; // else its place is kept, so that the picture does not move
  element("choices").hidden = told;
  element("onward").hidden = !told;
  element("verdict").textContent = "";
  if (!told) return;
  const kind = truth[last.image] ? "real" : "fake";
  const outcome = kind === last.says ? "right" : "wrong";
  element("verdict").className = outcome;
  element("verdict").textContent = say(`${outcome}_${kind}`);
}

// Whole multiples keep all pixels of a picture equally large.
function fit() {
  const wide = Math.min(document.documentElement.clientWidth - 40, 480) / test.width;
  const around = (innerHeight > 560 ? 270 : 130) + (test.feedback ? 40 : 0); // of the view, besides the picture
  const high = Math.min(Math.max(innerHeight - around, 120), 480) / test.height;
  const scale = Math.min(wide, high);
  const whole = scale < 1 ? scale : Math.floor(scale);
  element("picture").style.setProperty("--picture-width", `${test.width * whole}px`);
  element("picture").style.setProperty("--picture-height", `${test.height * whole}px`);
}

function vote(says) {
  const now = performance.now();
  if (element("trial").hidden || shownAt === null || now - shownAt < DEAD_TIME) return;
  if (told) return goOn();
  state.votes.push({ image: state.order[state.votes.length], says, milliseconds: Math.round(now - shownAt) });
  if (state.votes.length === count) state.finished = new Date().toISOString();
  keep(STATE, JSON.stringify(state));
  told = test.feedback;
  if (!told) return render(true);
  tell();
  shownAt = now; // so that the second half of a double click does not go on
  element("next").focus();
}

function goOn() {
  told = false;
  render(true);
  if (!element("trial").hidden) element("question").focus();
}

function render(started) {
  if (state.votes.length === count && !told) {
    const first = element("end").hidden;
    showEnd();
    if (first) { scrollTo(0, 0); element("accuracy").focus(); }
  } else if (started) showTrial();
  else showIntroduction();
}

// The end

// Wilson's 95 % interval, as in comparison/statistics.py.
function interval(right, votes) {
  const z = 1.959963984540054, share = right / votes, shrinkage = z * z / votes;
  const center = (share + shrinkage / 2) / (1 + shrinkage);
  const half = z * Math.sqrt(share * (1 - share) / votes + shrinkage / (4 * votes)) / (1 + shrinkage);
  return [Math.max(0, Math.min(center - half, share)), Math.min(1, Math.max(center + half, share))];
}

function isRight(vote) {
  return (vote.says === "real") === Boolean(truth[vote.image]);
}

function showEnd() {
  show("end");
  const right = state.votes.filter(isRight).length;
  const [low, high] = interval(right, count);
  element("accuracy").textContent = percent(right / count);
  element("got-right").textContent = say("got_right", { right, count });
  const meaning = low > 0.5 ? "above" : high < 0.5 ? "below" : "compatible";
  element("meaning").textContent = `${say("interval", { low: percent(low), high: percent(high) })}. ${say(meaning)}`;
  element("about-paper").textContent = say(test.published ? "about_paper" : "no_paper");
  const rows = [row("you", right / count, [low, high]), row("guessing", 0.5)];
  if (test.published) rows.splice(1, 0, row("paper", test.published));
  element("chart").replaceChildren(...rows, axis());
  for (const [kind, value] of [["real", 1], ["fake", 0]]) {
    const votes = state.votes.filter((each) => truth[each.image] === value);
    const found = votes.filter(isRight).length;
    element(`${kind}-found`).textContent = say("of", { right: found, count: votes.length });
    element(`${kind}-ones`).replaceChildren(...votes.map(pictureInGallery));
  }
  element("result").value = resultText();
  element("copied").textContent = "";
}

function part(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

function row(name, share, range) {
  const line = part("div", `row ${name}`), track = part("span", "track");
  if (range) {
    const bar = track.appendChild(part("u", ""));
    bar.style.left = `${100 * range[0]}%`;
    bar.style.width = `${100 * (range[1] - range[0])}%`;
  }
  track.appendChild(part("i", "")).style.left = `${100 * share}%`;
  line.append(part("span", "name", say(name)), track, part("span", "value", percent(share)));
  return line;
}

function axis() {
  const line = part("div", "row axis"), track = part("span", "track");
  line.setAttribute("aria-hidden", "true");
  for (const share of [0, 0.5, 1]) {
    track.appendChild(part("span", "", say("percent", { number: 100 * share }))).style.left = `${100 * share}%`;
  }
  line.append(part("span", ""), track, part("span", ""));
  return line;
}

function pictureInGallery(each) {
  const item = part("li", isRight(each) ? "" : "wrong"), picture = item.appendChild(document.createElement("img"));
  picture.src = source(each.image);
  picture.alt = say("image", { current: state.order.indexOf(each.image) + 1, count }) + ": " +
    say(isRight(each) ? "was_right" : "was_wrong");
  return item;
}

function resultText() {
  const { id, images, feedback, data, model } = test;
  return JSON.stringify({
    format: "human-test-result-1",
    test: { id, images, truth: truth.join(""), feedback, data, model },
    participant: state.participant, language, started: state.started, finished: state.finished, votes: state.votes,
  });
}

function download() {
  const address = URL.createObjectURL(new Blob([`${resultText()}\n`], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), {
    href: address, download: `human_test-${test.id}-${state.participant.slice(0, 8)}.json`,
  });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(resultText());
    element("copied").textContent = say("copied");
  } catch {
    element("as-text").open = true;
    element("result").select();
    element("copied").textContent = say("not_copied");
  }
}

function again() {
  if (!confirm(say("confirm"))) return;
  try { localStorage.removeItem(STATE); } catch { /* nothing is kept there */ }
  state = restored();
  render(false);
  element("introduction").querySelector("h1").focus();
}

// What people do

element("begin").addEventListener("click", () => {
  state.started ??= new Date().toISOString();
  keep(STATE, JSON.stringify(state));
  render(true);
  element("question").focus();
});
element("fake").addEventListener("click", () => vote("fake"));
element("real").addEventListener("click", () => vote("real"));
element("next").addEventListener("click", goOn);
element("download").addEventListener("click", download);
element("copy").addEventListener("click", copy);
element("again").addEventListener("click", again);
document.querySelectorAll("[data-language]").forEach((button) => button.addEventListener("click", () => {
  keep(LANGUAGE, button.dataset.language);
  speak(button.dataset.language);
  render(!element("trial").hidden);
}));
addEventListener("keydown", (event) => {
  if (element("trial").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  // A Korean keyboard types ㄹ and ㅓ with these keys: then the place of the key counts.
  const letter = /^[a-z]$/i.test(event.key) ? event.key : event.code.replace(/^Key/, "");
  const says = KEYS[event.key.toLowerCase()] ?? KEYS[letter.toLowerCase()];
  if (!says) return;
  event.preventDefault();
  vote(says);
});
addEventListener("storage", (event) => {
  if (event.key !== STATE) return; // another tab went on with the same test
  state = restored();
  told = false;
  render(!element("trial").hidden);
});
addEventListener("resize", fit);

speak(firstLanguage());
render(false);
