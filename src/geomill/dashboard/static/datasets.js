// What is published, and its features page by page.

import { fetchJson, linkTo, withQuery } from "./api.js";
import { extentOf } from "./extents.js";

export const FEATURE_LIMIT = 20_000;
const PAGE_SIZE = 1_000;
const INITIALLY_VISIBLE = 12;
const COLLECTIONS_URL = "api/features/collections";

// Told apart on light and dark ground; neighbours in the list differ in hue and lightness.
const PALETTE = [
  "#2f74d0", "#d9662b", "#1c9a6c", "#a855c8", "#c4980c",
  "#d23f63", "#1798b5", "#7d9a1e", "#6d63d9", "#a9705a",
];

/** Every published dataset in the order of the API. */
export async function listDatasets() {
  const collections = [];
  for (let url = COLLECTIONS_URL; url; ) {
    const page = await fetchJson(url);
    collections.push(...page.collections);
    url = page.collections.length > 0 ? linkTo(page, "next") : null;
  }
  return collections.map(datasetFrom);
}

function datasetFrom(collection, index) {
  const itemsUrl = `${COLLECTIONS_URL}/${encodeURIComponent(collection.id)}/items`;
  return {
    id: collection.id,
    title: collection.title || collection.id,
    description: collection.description ?? "",
    kinds: kindsOf(collection["geomill:geometryType"]),
    rowCount: collection["geomill:rowCount"] ?? null,
    publishedAt: collection["geomill:publishedAt"] ?? null,
    extent: extentOf(collection),
    color: PALETTE[index % PALETTE.length],
    itemsUrl: linkTo(collection, "items") ?? itemsUrl,
    stacItemUrl: linkTo(collection, "stac-item"),
    sourceId: `dataset:${collection.id}`,
    layerIds: [],
    features: [],
    visible: index < INITIALLY_VISIBLE,
    status: "idle", // idle → loading → drawn | failed
    truncated: false,
    error: null,
  };
}

/** Which of polygon, line and point a geometry type can hold; all three if it does not say. */
function kindsOf(geometryType = "") {
  if (/polygon|surface/i.test(geometryType)) return ["polygon"];
  if (/line|curve/i.test(geometryType)) return ["line"];
  if (/point/i.test(geometryType)) return ["point"];
  return ["polygon", "line", "point"];
}

/**
 * Reads the features of a dataset into `dataset.features`, at most FEATURE_LIMIT of them.
 * Calls `onPage(features, offset)` for each page; starts anew when called again.
 */
export async function loadFeatures(dataset, onPage) {
  Object.assign(dataset, { status: "loading", features: [], error: null, truncated: false });
  let url = withQuery(dataset.itemsUrl, "limit", PAGE_SIZE);
  while (url && dataset.features.length < FEATURE_LIMIT) {
    const offset = dataset.features.length;
    const page = await fetchJson(url);
    const features = page.features.slice(0, FEATURE_LIMIT - offset);
    dataset.features.push(...features);
    dataset.rowCount = page.numberMatched ?? dataset.rowCount;
    onPage(features, offset);
    url = features.length > 0 ? linkTo(page, "next") : null;
  }
  dataset.truncated = url !== null;
}

/** How many of the loaded features have nothing to draw. */
export function withoutGeometry(dataset) {
  return dataset.features.filter((feature) => !feature.geometry).length;
}
