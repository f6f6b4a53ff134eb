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

document.querySelectorAll(".data-set").forEach(async (section) => {
  connect(section, await Promise.all([...section.querySelectorAll(".plot")].map(draw)));
});
addEventListener("hashchange", openTarget);
openTarget();
