// Meridians and parallels: orientation without a basemap. The labels are DOM, so no glyphs.

import { element } from "./dom.js";

const SOURCE = "graticule";
const STEPS = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const SPACING_PX = 130;
const MARGIN_STEPS = 8;
const MERCATOR_LATITUDE = 85;
const CORNER_PX = 56; // keeps the two rows of labels apart where they would meet

/**
 * Draws the graticule below every dataset and keeps it and its labels with the view.
 * `leftEdge()` says from which pixel on the labels of the meridians are not covered.
 */
export function addGraticule(map, color, labels, leftEdge) {
  map.addSource(SOURCE, { type: "geojson", data: linesOf({ longitudes: [], latitudes: [] }) });
  map.addLayer({
    id: SOURCE,
    type: "line",
    source: SOURCE,
    paint: { "line-color": color, "line-width": 1 },
  });
  let drawn = "";
  const follow = () => {
    const grid = gridOf(map);
    if (grid.key !== drawn) map.getSource(SOURCE).setData(linesOf(grid));
    drawn = grid.key;
    labels.replaceChildren(...labelsOf(map, grid.step, leftEdge()));
  };
  map.on("move", follow);
  map.on("resize", follow);
  follow();
}

/** Follows a change between light and dark ground. */
export function recolorGraticule(map, color) {
  map.setPaintProperty(SOURCE, "line-color", color);
}

// Snapped to blocks of several steps, so that most movements keep the lines already drawn.
function gridOf(map) {
  const step = stepFor(map.getZoom());
  const block = step * MARGIN_STEPS;
  const bounds = map.getBounds();
  const west = Math.floor(bounds.getWest() / block) * block;
  const east = Math.min(Math.ceil(bounds.getEast() / block) * block, west + 360);
  const south = Math.max(Math.floor(bounds.getSouth() / block) * block, -90);
  const north = Math.min(Math.ceil(bounds.getNorth() / block) * block, 90);
  return {
    step,
    key: [step, west, east, south, north].join(),
    longitudes: multiples(step, west, east),
    latitudes: multiples(step, south, north).filter((lat) => Math.abs(lat) < MERCATOR_LATITUDE),
  };
}

function stepFor(zoom) {
  const pixelsPerDegree = (512 * 2 ** zoom) / 360;
  return STEPS.findLast((step) => step * pixelsPerDegree >= SPACING_PX) ?? STEPS[0];
}

// Counting in whole steps: adding 0.1 again and again would drift.
function multiples(step, from, to) {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  const count = Math.max(last - first + 1, 0);
  return Array.from({ length: count }, (_, index) => (first + index) * step);
}

function linesOf({ longitudes, latitudes }) {
  const meridians = new Set(longitudes.map(wrapped));
  const coordinates = [
    ...[...meridians].map((lon) => [[lon, -MERCATOR_LATITUDE], [lon, MERCATOR_LATITUDE]]),
    ...latitudes.map((lat) => [[-180, lat], [180, lat]]),
  ];
  return { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates } };
}

function labelsOf(map, step, left) {
  const bounds = map.getBounds();
  const center = map.getCenter();
  const longitudes = multiples(step, bounds.getWest(), bounds.getEast());
  const latitudes = multiples(step, bounds.getSouth(), bounds.getNorth());
  const { clientWidth, clientHeight } = map.getContainer();
  return [
    ...longitudes.map((lon) => {
      const { x } = map.project([lon, center.lat]);
      const text = degrees(wrapped(lon), step, "E", "W");
      return label("meridian", text, x, left, clientWidth - CORNER_PX);
    }),
    ...latitudes.map((lat) => {
      const { y } = map.project([center.lng, lat]);
      const text = degrees(lat, step, "N", "S");
      return label("parallel", text, y, CORNER_PX, clientHeight - CORNER_PX);
    }),
  ].filter(Boolean);
}

function label(kind, text, position, first, last) {
  if (position < first || position > last) return null;
  const node = element("span", { class: kind }, text);
  node.style.setProperty("--at", `${position.toFixed(1)}px`);
  return node;
}

function degrees(value, step, positive, negative) {
  const decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const number = Math.abs(value).toFixed(decimals);
  if (Number(number) === 0 || Number(number) === 180) return `${number}°`;
  return `${number}°${value > 0 ? positive : negative}`;
}

function wrapped(longitude) {
  return ((((longitude + 180) % 360) + 360) % 360) - 180;
}
