// The map page: lists what the API publishes, draws it, and keeps panel, map and address in step.
//
// <html data-state> is "loading", then "ready" (all that is visible is drawn) or "error".

import * as maplibre from "./vendor/maplibre-gl/maplibre-gl.mjs";
import { ApiError, fetchJson } from "./api.js";
import { listDatasets, loadFeatures } from "./datasets.js";
import { areaOf, boundsAround } from "./extents.js";
import { addGraticule, recolorGraticule } from "./graticule.js";
import * as layers from "./layers.js";
import * as panel from "./panel.js";
import { featurePopup } from "./popup.js";

const PARALLEL_LOADS = 4;
const CLOSEST_FIT_ZOOM = 13;
const DARK = matchMedia("(prefers-color-scheme: dark)");

// Read before the map starts to write its position there.
const POSITION_ASKED = /^#\d+(\.\d+)?(\/-?\d+(\.\d+)?){2}/.test(location.hash);
const DATASET_ASKED = new URLSearchParams(location.search).get("dataset");

const page = { map: null, datasets: [] };
window.geomill = page;

let updatePanel = () => {};
let popup = null;

await start();

async function start() {
  panel.setUpPanel();
  fetchJson("api/auth/me").then(panel.showIdentity, () => panel.showIdentity(null));
  try {
    page.map = await createMap();
  } catch (error) {
    stop(mapProblem(error), () => location.reload());
    return;
  }
  inspectOnPointer(page.map);
  await open();
}

/** All that needs the API; begins anew when asked to try again. */
async function open() {
  setState("loading");
  panel.clearNotices();
  try {
    page.datasets = await listDatasets();
  } catch (error) {
    stop(problemOf(error, "The datasets cannot be listed"), open);
    return;
  }
  const asked = page.datasets.find(({ id }) => id === DATASET_ASKED);
  if (asked) asked.visible = true;
  layers.addLayers(page.map, inDrawingOrder(page.datasets), color("--map-ground"));
  updatePanel = panel.listInPanel(page.datasets, {
    toggle,
    select,
    zoomTo,
    retry: (dataset) => load([dataset]),
  });
  showWhatIsAsked(asked);
  await load(page.datasets.filter(({ visible }) => visible));
}

function showWhatIsAsked(asked) {
  if (asked) panel.markSelected(asked);
  else if (DATASET_ASKED) panel.showNotice(`There is no dataset “${DATASET_ASKED}” here.`);
  if (POSITION_ASKED) return;
  const shown = page.datasets.filter(({ visible }) => visible);
  fit(asked?.extent ? [asked] : shown, { duration: 0 });
}

function stop(problem, tryAgain) {
  panel.showProblem(problem, tryAgain);
  setState("error");
}

function setState(state) {
  document.documentElement.dataset.state = state;
}

async function load(datasets) {
  setState("loading");
  for (const dataset of datasets) {
    dataset.status = "loading";
    updatePanel(dataset);
  }
  const waiting = [...datasets];
  const lane = async () => {
    while (waiting.length > 0) await loadOne(waiting.shift());
  };
  await Promise.all(Array.from({ length: PARALLEL_LOADS }, lane));
  await settle();
}

async function loadOne(dataset) {
  try {
    await loadFeatures(dataset, (features, offset) => {
      layers.drawPage(page.map, dataset, features, offset);
      updatePanel(dataset);
    });
    dataset.status = "drawn";
  } catch (error) {
    dataset.status = "failed";
    dataset.error = problemOf(error, "The dataset cannot be drawn");
  }
  updatePanel(dataset);
}

async function settle() {
  setState("loading");
  await idle(page.map);
  const found = new Set(page.datasets.filter(({ visible }) => visible).map(({ status }) => status));
  if (found.has("loading")) return; // the load that is still under way settles the state
  setState(found.has("failed") ? "error" : "ready");
}

function idle(map) {
  return new Promise((resolve) => {
    map.once("idle", resolve);
    map.triggerRepaint();
  });
}

function problemOf(error, title) {
  if (error instanceof ApiError) return error;
  console.error(error);
  const remedy = "Reload the page; if it stays, report it with the message above.";
  return new ApiError({ title, detail: error.message, remedy });
}

function toggle(dataset, visible) {
  dataset.visible = visible;
  popup.close();
  layers.applyVisibility(page.map, dataset);
  updatePanel(dataset);
  if (visible && dataset.status === "idle") load([dataset]);
  else settle();
}

function select(dataset) {
  const address = new URL(location.href);
  address.searchParams.set("dataset", dataset.id);
  history.replaceState(history.state, "", address);
  panel.markSelected(dataset);
  zoomTo(dataset);
}

function zoomTo(dataset) {
  fit([dataset], { duration: 600 });
}

function fit(datasets, options) {
  const bounds = boundsAround(datasets.map(({ extent }) => extent));
  if (!bounds) return;
  const padding = panel.paddingBesidePanel();
  page.map.fitBounds(bounds, { padding, maxZoom: CLOSEST_FIT_ZOOM, ...options });
}

async function createMap() {
  const map = new maplibre.Map({
    container: "map",
    style: plainStyle(),
    center: [0, 20],
    zoom: 1.5,
    hash: true,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    maxPitch: 0,
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), "bottom-right");
  map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), "bottom-right");
  await new Promise((resolve, reject) => {
    map.once("load", resolve);
    map.once("error", ({ error }) => reject(error));
  });
  map.on("error", ({ error }) => stop(mapProblem(error), () => location.reload()));
  const labels = document.getElementById("graticule-labels");
  addGraticule(map, color("--map-graticule"), labels, () => panel.paddingBesidePanel().left);
  DARK.addEventListener("change", () => recolor(map));
  return map;
}

function plainStyle() {
  const paint = { "background-color": color("--map-ground") };
  return { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint }] };
}

function recolor(map) {
  map.setPaintProperty("ground", "background-color", color("--map-ground"));
  recolorGraticule(map, color("--map-graticule"));
  layers.applyGround(map, page.datasets, color("--map-ground"));
}

// The style sheet is the one place of the colours of light and dark.
function color(property) {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}

function inDrawingOrder(datasets) {
  return datasets.toSorted((one, other) => areaOf(other.extent) - areaOf(one.extent));
}

function mapProblem(error) {
  console.error(error);
  return new ApiError({
    title: "The map cannot be drawn",
    detail: error.message,
    remedy: "Turn on WebGL 2 in the browser, or read the data through the links below.",
  });
}

function inspectOnPointer(map) {
  const canvas = map.getCanvas();
  const hovered = layers.highlighter(map, "hovered");
  const picked = layers.highlighter(map, "picked");
  popup = featurePopup(map, picked.show);
  const inspect = (lngLat, point) =>
    popup.show(lngLat, layers.featuresAt(map, page.datasets, point));
  map.on("mousemove", ({ point }) => {
    const [top = null] = layers.featuresAt(map, page.datasets, point);
    hovered.show(top);
    canvas.style.cursor = top ? "pointer" : "";
  });
  map.on("mouseout", () => hovered.show(null));
  map.on("click", ({ lngLat, point }) => inspect(lngLat, point));
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or the same key would press the button the popup gives the focus to
    inspect(map.getCenter(), map.project(map.getCenter()));
  });
}
