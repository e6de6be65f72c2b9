// The page's behaviour. Texts of models reach the page through textContent alone.

const data = (name) => JSON.parse(document.getElementById(`data-${name}`).textContent);
const about = data("about"), specs = data("specs");
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A table by columns as records.
function records(columns) {
  const names = Object.keys(columns);
  return (columns[names[0]] ?? []).map((_, row) =>
    Object.fromEntries(names.map((name) => [name, columns[name][row]])));
}

const number = (value, digits = 2) =>
  value === null ? "undefined" : value.toFixed(digits).replace("-", "−");

// ---- light and dark

const root = document.documentElement;
const wanted = window.matchMedia("(prefers-color-scheme: dark)");
const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* a closed store */ } };
function setTheme(theme) {
  root.dataset.theme = theme;
  $$(".chart").forEach(draw);
}
$("#theme").addEventListener("click", () => {
  const theme = root.dataset.theme === "dark" ? "light" : "dark";
  remember(theme);
  setTheme(theme);
});
const narrow = window.matchMedia("(max-width: 560px)");
narrow.addEventListener("change", () => $$(".chart").forEach(draw));
wanted.addEventListener("change", () => remembered() ?? setTheme(wanted.matches ? "dark" : "light"));

function chartTheme() {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const dark = root.dataset.theme === "dark";
  const text = { labelColor: of("quiet"), titleColor: of("quiet"), titleFontWeight: 500 };
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    axis: { ...text, gridColor: of("line"), domainColor: of("line"), tickColor: of("line"), labelFontSize: 11, titleFontSize: 12 },
    legend: { ...text, labelFontSize: 11, titleFontSize: 12, gradientLength: 110, orient: narrow.matches ? "top" : "right" },
    view: { stroke: null },
    style: { specific: { fill: of("text"), stroke: of("page"), strokeWidth: 0.8 } },
    range: {
      // Wong's palette, a little lighter on dark ground.
      category: dark
        ? ["#ee8434", "#4aa3df", "#2fc096", "#d884bd", "#f0c14b", "#e4e8ee"]
        : ["#d55e00", "#0072b2", "#009e73", "#b8579a", "#e69f00", "#1c2128"],
      diverging: dark ? ["#6cb6f2", "#1f5a8c", "#262c34", "#8f4a08", "#f5a25d"] : ["#08519c", "#6baed6", "#f4f4f4", "#fd8d3c", "#a63603"],
    },
  };
}

// ---- charts: a section's controls are the parameters of its charts

const views = new Map();

function control(section, name) {
  const input = $(`[name="${name}"]`, section);
  return input.type === "range" ? Number(input.value) : input.value;
}

const tables = new Map();
function table(name) {
  if (!tables.has(name)) {
    const rows = data(name);
    tables.set(name, Array.isArray(rows) ? rows : records(rows));
  }
  return tables.get(name);
}

async function draw(place) {
  const section = place.closest("section");
  const spec = structuredClone(specs[place.dataset.chart]);
  for (const parameter of spec.params ?? []) parameter.value = control(section, parameter.name);
  spec.datasets = { [spec.data.name]: table(spec.data.name) };
  views.get(place)?.finalize();
  const result = await vegaEmbed(place, spec, {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: chartTheme(),
    tooltip: { theme: root.dataset.theme === "dark" ? "dark" : "light" },
  });
  views.set(place, result);
}

function redraw(section) {
  for (const place of $$(".chart", section)) {
    const view = views.get(place)?.view;
    if (!view) continue;
    for (const { name } of specs[place.dataset.chart].params ?? []) view.signal(name, control(section, name));
    view.runAsync();
  }
}

function options(select, values, labels = values) {
  select.replaceChildren(...values.map((value, i) => {
    const option = element("option", { value });
    option.textContent = labels[i];
    return option;
  }));
}

for (const name of ["layers", "steering", "discrimination"]) {
  const section = document.getElementById(name);
  section?.addEventListener("input", () => redraw(section));
}

const prompts = $("#prompts"), slider = $('[name="layer"]', prompts);
function showLayer() {
  const { layer } = about.traits[control(prompts, "trait")];
  $("output", prompts).textContent = slider.value + (Number(slider.value) === layer ? " (chosen)" : "");
  redraw(prompts);
}
function toChosenLayer() {
  slider.value = about.traits[control(prompts, "trait")].layer;
  showLayer();
}
slider.addEventListener("input", showLayer);
$('[name="trait"]', prompts).addEventListener("input", toChosenLayer);

const vectors = $("#vectors"), position = $('[name="position"]', vectors);
function showPositions() {
  const trait = control(vectors, "trait");
  const of = table("candidates").filter((row) => row.trait === trait).map((row) => row.position);
  options(position, [...new Set(of)]);
  position.value = about.traits[trait].position;
  redraw(vectors);
}
$('[name="trait"]', vectors).addEventListener("input", showPositions);
position.addEventListener("input", () => redraw(vectors));

// ---- answers side by side

const answers = $("#answers"), given = data("answers"), pairs = records(given.rows);
const PAGE = 12;
let shown = PAGE;

function side(variant, row) {
  const outcome = row[`${variant} outcome`];
  const text = element("pre", { class: `text ${outcome}` });
  text.textContent = row[`${variant} answer`];
  const who = element("b");
  who.textContent = variant;
  const tag = element("span", { class: `tag ${outcome}` });
  tag.textContent = outcome;
  return element("div", { class: "side" }, element("p", {}, who, tag), text);
}

function showAnswers() {
  const variant = control(answers, "variant");
  const wanted = control(answers, "text").trim().toLowerCase();
  const base = control(answers, "base");
  const outcome = $('[name="outcome"]', answers) ? control(answers, "outcome") : "";
  const found = pairs.filter((row) =>
    (!base || row["base outcome"] === base) &&
    (!outcome || row[`${variant} outcome`] === outcome) &&
    (row.question.toLowerCase().includes(wanted)));
  const few = found.slice(0, shown);
  const kept = given.shown < given.total ? ` (of ${given.total} made, the first samples are here)` : "";
  $(".count", answers).textContent = `${found.length} of ${pairs.length} answers match${kept}; showing ${few.length}.`;
  $(".pairs", answers).replaceChildren(...few.map((row) => {
    const sample = element("small");
    sample.textContent = `  sample ${row.sample}`;
    const asked = element("h3", {}, row.question, sample);
    const sides = [...new Set(["base", variant])].map((one) => side(one, row));
    return element("div", { class: "pair" }, asked, element("div", { class: "sides" }, ...sides));
  }));
  $(".more", answers).hidden = found.length <= shown;
}
answers.addEventListener("input", () => { shown = PAGE; showAnswers(); });
$(".more", answers).addEventListener("click", () => { shown += PAGE; showAnswers(); });

// ---- tokens

const tokens = $("#tokens"), read = data("tokens");
options($('[name="question"]', tokens), read.base.answers.map((row) => row.id), read.base.answers.map((row) => row.question));

function tint(value, scale) {
  if (value === null) return "transparent";
  const middle = (scale.positive + scale.negative) / 2, half = (scale.positive - scale.negative) / 2;
  const along = Math.max(-1, Math.min(1, (value - middle) / half));
  return `rgba(var(--${along < 0 ? "low" : "high"}), ${Math.abs(along).toFixed(3)})`;
}

function coloured(variant, trait, id) {
  const scale = read[variant].scales[trait];
  const row = read[variant].answers.find((one) => one.id === id);
  const text = element("div", { class: "text coloured", tabindex: "0", role: "group",
    "aria-label": `Answer of ${variant}; arrow keys go from token to token` });
  const values = row.projections[trait];
  row.pieces.forEach((piece, i) => {
    const span = element("span");
    span.textContent = piece;
    span.style.backgroundColor = tint(values[i], scale);
    text.append(span);
  });
  if (!row.whole) text.append(" …");
  let at = -1;
  const showPiece = (i) => {
    if (!text.children[i]) return;  // an answer without text has no piece
    at = i;
    $$(".coloured .on", tokens).forEach((one) => one.classList.remove("on"));
    text.children[i].classList.add("on");
    const several = row.tokens[i] > 1 ? ` (mean of ${row.tokens[i]} tokens)` : "";
    $(".reading", tokens).textContent = `${variant}, piece ${i + 1} of ${row.pieces.length}, ${JSON.stringify(row.pieces[i])}: ${number(values[i])}${several}`;
  };
  text.addEventListener("pointerover", (event) => {
    const i = [...text.children].indexOf(event.target);
    if (i >= 0) showPiece(i);
  });
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    showPiece(Math.max(0, Math.min(text.children.length - 1, at + step)));
  });
  const who = element("b");
  who.textContent = variant;
  return element("div", { class: "side" }, element("p", {}, who), text);
}

function showTokens() {
  const trait = control(tokens, "trait"), id = control(tokens, "question");
  const variant = $('[name="variant"]', tokens) ? control(tokens, "variant") : "base";
  const scale = read.base.scales[trait];
  $(".low", tokens).textContent = `negative class mean ${number(scale.negative)}`;
  $(".high", tokens).textContent = `${number(scale.positive)} positive class mean`;
  $(".reading", tokens).textContent = `${scale.method}, made at ${scale.position}, layer ${scale.layer}`;
  const sides = [...new Set(["base", variant])].map((one) => coloured(one, trait, id));
  $(".texts", tokens).replaceChildren(element("div", { class: "sides" }, ...sides));
}
tokens.addEventListener("input", showTokens);

// ---- the trace: one graph of stages, walked for whatever was clicked

const steps = new Map(data("trace").map((step) => [step.name, step]));
const holds = (folder, path) => path === folder || path.startsWith(`${folder}/`);
const makers = (path) => [...steps.values()].filter((step) =>
  step.writes.some(([written]) => holds(written, path) || holds(path, written)));
const isCode = (path) => path.endsWith(".py") || ["stages", "traitdrift"].includes(path.split("/")[0]);

// The stages that had a part, nearest first.
function upstream(first) {
  const found = new Map();
  let row = first;
  while (row.length) {
    // Set anew, a stage moves behind all that read from it.
    for (const step of row) { found.delete(step.name); found.set(step.name, step); }
    row = [...new Set(row.flatMap((step) => step.reads.flatMap(([path]) => makers(path))))];
  }
  return [...found.values()];
}

function files(list, linked) {
  return element("ul", { class: "files" }, ...list.map(([path, digest, size]) => {
    const made = linked && makers(path).length;
    const name = element(made ? "button" : "span", made ? { type: "button", "data-path": path, class: "path mono" } : { class: "path mono" });
    name.textContent = path;
    const mark = element("span", { class: "digest mono", title: `${digest}, ${size} bytes` });
    mark.textContent = digest.slice(0, 10);
    return element("li", {}, name, mark);
  }));
}

function heading(tag, text) {
  const made = element(tag);
  made.textContent = text;
  return made;
}

// A parameter with those inside it under dotted keys.
function flat([key, value]) {
  const inside = value !== null && typeof value === "object" && !Array.isArray(value);
  return inside ? Object.entries(value).flatMap(([name, one]) => flat([`${key}.${name}`, one])) : [[key, value]];
}

function shownStep(step) {
  const command = element("pre");
  command.textContent = step.command;
  const parts = [heading("h4", "command"), command];
  if (Object.keys(step.params).length) {
    const list = element("dl");
    for (const [key, value] of Object.entries(step.params).flatMap(flat)) {
      const given = element("dd", { class: "mono" });
      given.textContent = typeof value === "string" ? value : JSON.stringify(value);
      list.append(heading("dt", key), given);
    }
    parts.push(heading("h4", "parameters"), list);
  }
  const code = step.reads.filter(([path]) => isCode(path)), inputs = step.reads.filter(([path]) => !isCode(path));
  if (inputs.length) parts.push(heading("h4", "reads"), files(inputs, true));
  parts.push(heading("h4", "code"), files(code, false), heading("h4", "writes"), files(step.writes, false));
  return parts;
}

function folded(step, open = false) {
  const name = element("summary", {}, heading("b", step.name), " ", heading("small", step.about));
  const made = element("details", open ? { open: "" } : {}, name);
  const fill = () => { if (made.childElementCount === 1) made.append(...shownStep(step)); };
  if (open) fill();
  made.addEventListener("toggle", fill);
  return made;
}

const panel = $("#trace");
function openPanel(title, parts) {
  $("#trace-title").textContent = title;
  const body = $(".body", panel);
  body.replaceChildren(...parts);
  if (!panel.open) panel.showModal();
  body.focus({ preventScroll: true });
  panel.scrollTop = 0;
}

function wayBack(first) {
  const behind = upstream(first).filter((step) => !first.includes(step));
  const raw = new Map(upstream(first).flatMap((step) => step.reads)
    .filter(([path]) => !isCode(path) && !makers(path).length).map((file) => [file[0], file]));
  const parts = [heading("h3", first.length > 1 ? "Made by these stages" : "Made by"), ...first.map((step) => folded(step, first.length === 1))];
  if (behind.length) parts.push(heading("h3", "Which had read from"), ...behind.map((step) => folded(step)));
  if (raw.size) parts.push(heading("h3", "Raw data, written by people"), files([...raw.values()].sort(), false));
  return parts;
}

function tracePath(path, values) {
  const list = element("dl");
  const place = element("dd", { class: "mono" });
  place.textContent = path;
  list.append(heading("dt", "file"), place);
  for (const [key, value] of Object.entries(values)) {
    const given = element("dd", { class: "mono" });
    given.textContent = String(value);
    list.append(heading("dt", key), given);
  }
  const first = Object.keys(values)[0];
  const command = element("pre");
  command.textContent = `python -m traitdrift trace ${path}${first ? `:${first}` : ""}`;
  openPanel(first ? "Where this figure comes from" : "Where this comes from",
    [list, heading("h4", "the same on the command line"), command, ...wayBack(makers(path))]);
}

document.addEventListener("click", (event) => {
  const figure = event.target.closest("[data-path]"), node = event.target.closest("[data-stage]");
  if (figure) tracePath(figure.dataset.path, JSON.parse(figure.dataset.values ?? "{}"));
  else if (node) openStage(node.dataset.stage);
  else if (event.target === panel || event.target.closest(".close")) panel.close();
});
document.addEventListener("keydown", (event) => {
  const node = event.target.closest?.("[data-stage]");
  if (node && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    openStage(node.dataset.stage);
  }
});
function openStage(name) {
  const cells = [...steps.values()].filter((step) => step.name.split("@")[0] === name);
  openPanel(`Stage ${name}`, wayBack(cells));
}

// ---- first drawing

root.dataset.theme = remembered() ?? (wanted.matches ? "dark" : "light");
toChosenLayer();
showPositions();
showAnswers();
showTokens();
await Promise.all($$(".chart").map(draw));
root.dataset.ready = "true";
