"use strict";

const tooltip = document.getElementById("tooltip");

function showTooltip(_handler, event, _item, value) {
  tooltip.hidden = !value;
  if (!value) return;
  // Names of runs are text, never markup.
  tooltip.replaceChildren(...Object.entries(value).map(([title, text]) => {
    if (title === "architecture") return Object.assign(document.createElement("b"), { textContent: text });
    const line = document.createElement("div");
    line.append(Object.assign(document.createElement("span"), { textContent: title }), String(text));
    return line;
  }));
  const { width, height } = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  tooltip.style.top = `${event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 14}px`;
}

async function draw(plot) {
  const specification = JSON.parse(plot.querySelector("script").textContent);
  const { view } = await vegaEmbed(plot.appendChild(document.createElement("div")), specification, {
    renderer: "svg", actions: false, defaultStyle: false, tooltip: showTooltip,
  });
  return view;
}

function connect(section, views) {
  const setAll = (signal, value) => views.forEach((view) => {
    if (signal in view.getState().signals) view.signal(signal, value).runAsync();
  });
  const chips = [...section.querySelectorAll(".legend button")];
  let pinned = "";
  const emphasize = (label) => setAll("highlight", label || pinned);
  chips.forEach((chip) => {
    const label = chip.dataset.label;
    chip.addEventListener("pointerenter", () => emphasize(label));
    chip.addEventListener("pointerleave", () => emphasize(""));
    chip.addEventListener("click", () => {
      pinned = pinned === label ? "" : label;
      chips.forEach((other) => other.setAttribute("aria-pressed", String(pinned && other.dataset.label === pinned)));
      emphasize("");
    });
  });
  section.querySelectorAll(".switch input").forEach((input) => input.addEventListener("change", () => {
    setAll("progress", input.value);
    section.querySelectorAll(".progress-title").forEach((title) => { title.textContent = input.dataset.title; });
  }));
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}

// A column of numbers starts with the largest, one of words with the first; rows without a value stay at the end.
function sortBy(button) {
  const heading = button.closest("th");
  const place = [...heading.parentNode.children].indexOf(heading);
  const body = heading.closest("table").tBodies[0];
  const keyOf = (row) => row.cells[place].dataset.value ?? "";
  const rows = [...body.rows];
  const numeric = rows.every((row) => keyOf(row) === "" || !Number.isNaN(Number(keyOf(row))));
  const before = heading.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : numeric;
  const compared = (one, other) => (numeric ? Number(one) - Number(other) : one.localeCompare(other));
  rows.sort((one, other) => {
    const [a, b] = [keyOf(one), keyOf(other)];
    return a === "" || b === "" ? (a === "") - (b === "") : compared(a, b) * (descending ? -1 : 1);
  });
  heading.parentNode.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows);
}

function saveCsv(button) {
  const address = URL.createObjectURL(new Blob([button.dataset.csv], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: address, download: button.dataset.file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// A table that does not fit says so, for not every screen shows that it scrolls.
function hintAt(table) {
  const hint = Object.assign(document.createElement("p"), { className: "hint", textContent: "more columns: scroll sideways →" });
  hint.setAttribute("aria-hidden", "true");
  table.before(hint);
  new ResizeObserver(() => { hint.hidden = table.scrollWidth <= table.clientWidth + 1; }).observe(table);
}

function followContents() {
  const [contents, here] = [document.querySelector(".toc details"), document.querySelector(".toc .here")];
  const wide = matchMedia("(min-width: 1100px)");
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const places = [...links.keys()].map((id) => document.getElementById(id));
  const fit = () => { contents.open = wide.matches; };
  const mark = () => {
    // The last heading that has passed the upper third is what one reads.
    const read = places.findLast((place) => place.getBoundingClientRect().top < innerHeight / 3) ?? places[0];
    const link = links.get(read?.id);
    if (!link || link.hasAttribute("aria-current")) return;
    links.forEach((other) => other.removeAttribute("aria-current"));
    link.setAttribute("aria-current", "true");
    here.textContent = link.textContent;
    if (wide.matches) link.scrollIntoView({ block: "nearest", behavior: "instant" });
  };
  contents.addEventListener("click", (event) => { if (event.target.closest("a") && !wide.matches) contents.open = false; });
  wide.addEventListener("change", fit);
  addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
  fit();
  mark();
}

document.querySelectorAll(".data-set").forEach(async (section) => {
  connect(section, await Promise.all([...section.querySelectorAll(".plot")].map(draw)));
});
document.querySelectorAll(".sort").forEach((button) => button.addEventListener("click", () => sortBy(button)));
document.querySelectorAll(".csv").forEach((button) => button.addEventListener("click", () => saveCsv(button)));
document.querySelectorAll(".scroll").forEach(hintAt);
addEventListener("hashchange", openTarget);
followContents();
openTarget();
