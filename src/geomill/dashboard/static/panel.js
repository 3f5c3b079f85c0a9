// The list of datasets beside the map: what each is, whether it is shown, what went wrong.

import { counted, day, element, grouped, icon } from "./dom.js";
import { FEATURE_LIMIT, withoutGeometry } from "./datasets.js";

const NARROW = matchMedia("(max-width: 720px)");

const KINDS = {
  polygon: { name: "Polygons", paths: ["M3 5.5 9 2.5l4.5 5-2.5 6-7-1z"] },
  line: { name: "Lines", paths: ["M2 12.5c2.5-6 4.5 0 6.5-4.5S11 4 14 3"] },
  point: { name: "Points", paths: ["M8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7z"] },
  mixed: { name: "Mixed geometries", paths: ["M2.5 6.5 8 2.5l3 5-5 2z", "M4 13.5 13.5 10"] },
};

const ICONS = {
  zoom: ["M2.5 6V2.5H6", "M10 2.5h3.5V6", "M13.5 10v3.5H10", "M6 13.5H2.5V10"],
};

const HOW_TO_ADD = "geomill submit process_vector \\\n  --source FILE --table NAME";

const byId = (id) => document.getElementById(id);

/** Lets the list fold away; it starts folded where it would cover the map. */
export function setUpPanel() {
  const toggle = byId("panel-toggle");
  const fold = (folded) => {
    byId("panel-body").hidden = folded;
    toggle.setAttribute("aria-expanded", String(!folded));
  };
  toggle.addEventListener("click", () => fold(!byId("panel-body").hidden));
  NARROW.addEventListener("change", () => fold(NARROW.matches));
  fold(NARROW.matches);
}

/** The part of the map that the panel leaves free, as padding in pixels. */
export function paddingBesidePanel() {
  const { right } = byId("panel").getBoundingClientRect();
  if (NARROW.matches) return { top: 88, right: 40, bottom: 40, left: 40 };
  return { top: 56, right: 80, bottom: 56, left: right + 56 };
}

/** Builds the list. Returns `update(dataset)`, to be called when a dataset has changed. */
export function listInPanel(datasets, actions) {
  const cards = new Map(datasets.map((dataset) => [dataset.id, card(dataset, actions)]));
  byId("datasets").replaceChildren(...[...cards.values()].map(({ node }) => node));
  if (datasets.length === 0) say(emptyState());
  summarize(datasets);
  return (dataset) => {
    cards.get(dataset.id).update();
    summarize(datasets);
  };
}

function summarize(datasets) {
  const rows = datasets.reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0);
  const summary = `${counted(datasets.length, "dataset")} · ${counted(rows, "feature")}`;
  const text = datasets.length === 0 ? "No datasets yet" : summary;
  if (byId("summary").textContent !== text) byId("summary").textContent = text;
}

function card(dataset, actions) {
  const checkbox = element("input", {
    type: "checkbox",
    checked: dataset.visible,
    "aria-label": `Show ${dataset.title}`,
    change: () => actions.toggle(dataset, checkbox.checked),
  });
  const status = element("div", { class: "dataset-status", "aria-live": "polite" });
  const count = element("span", { class: "count" });
  const node = element("li", { class: "dataset", "data-id": dataset.id },
    element("div", { class: "dataset-row" },
      checkbox, swatch(dataset), title(dataset, actions), zoomButton(dataset, actions)),
    element("div", { class: "dataset-facts" }, count, ...facts(dataset)),
    status);
  node.style.setProperty("--color", dataset.color);
  const update = () => {
    node.dataset.status = dataset.status;
    node.classList.toggle("off", !dataset.visible);
    count.textContent = sizeOf(dataset);
    status.replaceChildren(...statusOf(dataset, actions));
  };
  update();
  return { node, update };
}

function sizeOf({ rowCount }) {
  return rowCount === null ? "size unknown" : counted(rowCount, "feature");
}

function swatch({ kinds }) {
  const kind = kinds.length === 1 ? kinds[0] : "mixed";
  const { name, paths } = KINDS[kind];
  const attributes = { class: `swatch ${kind}`, role: "img", "aria-label": name, title: name };
  return element("span", attributes, icon(...paths));
}

function title(dataset, actions) {
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    actions.select(dataset);
  };
  const href = `?dataset=${encodeURIComponent(dataset.id)}`;
  const attributes = { class: "dataset-title", href, title: dataset.description || null, click };
  return element("a", attributes, dataset.title);
}

function zoomButton(dataset, actions) {
  const known = dataset.extent !== null;
  return element("button", {
    class: "icon-button zoom",
    type: "button",
    disabled: !known,
    "aria-label": `Zoom to ${dataset.title}`,
    title: known ? "Zoom to" : "Nothing to zoom to: no feature has a geometry",
    click: () => actions.zoomTo(dataset),
  }, icon(...ICONS.zoom));
}

function facts(dataset) {
  const { publishedAt, itemsUrl, stacItemUrl } = dataset;
  const published = publishedAt && element("span", {}, "Published ", day(publishedAt));
  const items = element("a", { href: itemsUrl }, "Features");
  const stac = stacItemUrl && element("a", { href: stacItemUrl }, "STAC item");
  return [published, element("span", { class: "links" }, items, stac)].filter(Boolean);
}

function statusOf(dataset, actions) {
  if (dataset.status === "failed") return [problem(dataset.error, () => actions.retry(dataset))];
  if (dataset.status === "loading") return [progress(dataset)];
  if (dataset.status !== "drawn") return [];
  const missing = withoutGeometry(dataset);
  return [
    dataset.truncated && note(`first ${grouped(FEATURE_LIMIT)} of ${total(dataset)} shown`),
    missing > 0 && note(`${grouped(missing)} without geometry`),
  ].filter(Boolean);
}

function total({ rowCount }) {
  return rowCount === null ? "more" : grouped(rowCount);
}

function progress(dataset) {
  const max = Math.min(dataset.rowCount ?? FEATURE_LIMIT, FEATURE_LIMIT);
  return element("progress", {
    max: String(Math.max(max, 1)),
    value: String(dataset.features.length),
    "aria-label": `Loading ${dataset.title}`,
  });
}

function note(text) {
  return element("p", { class: "note" }, text);
}

function problem(error, retry) {
  return element("div", { class: "problem", role: "alert" },
    element("strong", {}, error.title),
    error.detail ? element("p", {}, error.detail) : null,
    error.remedy ? element("p", { class: "remedy" }, error.remedy) : null,
    element("button", { type: "button", class: "text-button", click: retry }, "Try again"));
}

function emptyState() {
  return element("div", { class: "empty" },
    element("p", {}, "Nothing is published yet. Add a vector file:"),
    element("pre", {}, element("code", {}, HOW_TO_ADD)),
    element("p", {}, "Its features appear here once the job has finished."));
}

function say(...nodes) {
  byId("notices").replaceChildren(...nodes);
}

/** Shows what keeps the whole page from working. */
export function showProblem(error, retry) {
  byId("summary").textContent = "Not available";
  if (byId("panel-body").hidden) byId("panel-toggle").click();
  say(problem(error, retry));
}

/** Shows one sentence above the list. */
export function showNotice(text) {
  say(element("p", { class: "notice" }, text));
}

/** Empties the place above the list. */
export function clearNotices() {
  say();
}

/** Marks one dataset of the list as the selected one. */
export function markSelected(dataset) {
  for (const node of byId("datasets").children) {
    if (node.dataset.id !== dataset.id) {
      node.removeAttribute("aria-current");
      continue;
    }
    node.setAttribute("aria-current", "true");
    node.scrollIntoView({ block: "nearest" });
  }
}

/** Says who is signed in, and as what. */
export function showIdentity(identity) {
  const { name, role } = identity ?? {};
  const words = name && name !== role ? `Signed in as ${name}, ${role}` : `Signed in as ${role}`;
  byId("identity").textContent = role ? words : "Not signed in";
}
