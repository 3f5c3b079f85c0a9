// How datasets are drawn, and which feature is under the pointer.

const POINTER_TOLERANCE_PX = 4;
const ACTIVE = [
  "any",
  ["boolean", ["feature-state", "hovered"], false],
  ["boolean", ["feature-state", "picked"], false],
];

const ONLY = {
  polygon: ["in", ["geometry-type"], ["literal", ["Polygon", "MultiPolygon"]]],
  line: ["in", ["geometry-type"], ["literal", ["LineString", "MultiLineString"]]],
  point: ["in", ["geometry-type"], ["literal", ["Point", "MultiPoint"]]],
};

/** The layers of one dataset, from the lowest to the highest; `kind` says which geometries. */
const LAYERS = [
  {
    name: "fill",
    kind: "polygon",
    type: "fill",
    paint: (color) => ({
      "fill-color": color,
      "fill-opacity": ["case", ACTIVE, 0.42, 0.18],
    }),
  },
  {
    name: "outline",
    kind: "polygon",
    type: "line",
    paint: (color) => ({
      "line-color": color,
      "line-width": ["case", ACTIVE, 2.6, 1.2],
    }),
  },
  {
    name: "line",
    kind: "line",
    type: "line",
    layout: { "line-cap": "round", "line-join": "round" },
    paint: (color) => ({
      "line-color": color,
      "line-width": ["case", ACTIVE, 4.5, 2.4],
    }),
  },
  {
    name: "point",
    kind: "point",
    type: "circle",
    paint: (color, ground) => ({
      "circle-color": color,
      "circle-radius": pointRadius(),
      "circle-stroke-color": ground,
      "circle-stroke-width": 0.75,
    }),
  },
];

function pointRadius() {
  const from = ["case", ACTIVE, 5, 3];
  const to = ["case", ACTIVE, 9.5, 7];
  return ["interpolate", ["linear"], ["zoom"], 3, from, 13, to];
}

/**
 * Adds an empty source and the layers of every dataset.
 * Points lie over lines over polygons; among equals the smaller extent lies on top.
 */
export function addLayers(map, datasets, ground) {
  for (const dataset of datasets) map.addSource(dataset.sourceId, emptySource());
  for (const layer of LAYERS) {
    for (const dataset of datasets.filter(({ kinds }) => kinds.includes(layer.kind))) {
      const id = `${dataset.sourceId}:${layer.name}`;
      const { type, layout = {}, paint, kind } = layer;
      const visibility = dataset.visible ? "visible" : "none";
      map.addLayer({
        id,
        type,
        source: dataset.sourceId,
        filter: ONLY[kind],
        layout: { ...layout, visibility },
        paint: paint(dataset.color, ground),
      });
      dataset.layerIds.push(id);
    }
  }
}

function emptySource() {
  return { type: "geojson", data: { type: "FeatureCollection", features: [] } };
}

/**
 * Draws one more page of features; the first one (offset 0) replaces what was drawn.
 * On the map a feature's id is its position in `dataset.features`, where its attributes stay.
 */
export function drawPage(map, dataset, features, offset) {
  const drawable = features
    .map(({ geometry }, index) => ({ type: "Feature", id: offset + index, geometry }))
    .filter(({ geometry }) => geometry)
    .map((feature) => ({ ...feature, properties: {} }));
  const source = map.getSource(dataset.sourceId);
  if (offset === 0) source.setData({ type: "FeatureCollection", features: drawable });
  else source.updateData({ add: drawable });
}

/** Shows or hides the layers of a dataset. */
export function applyVisibility(map, dataset) {
  const visibility = dataset.visible ? "visible" : "none";
  for (const id of dataset.layerIds) map.setLayoutProperty(id, "visibility", visibility);
}

/** Follows a change between light and dark ground. */
export function applyGround(map, datasets, ground) {
  for (const id of datasets.flatMap(({ layerIds }) => layerIds)) {
    if (map.getLayer(id).type === "circle") map.setPaintProperty(id, "circle-stroke-color", ground);
  }
}

/** The features under a point of the screen as {dataset, index}, topmost first, each once. */
export function featuresAt(map, datasets, { x, y }) {
  const reach = POINTER_TOLERANCE_PX;
  const layers = datasets.flatMap(({ layerIds }) => layerIds);
  const box = [[x - reach, y - reach], [x + reach, y + reach]];
  const touched = [
    ...map.queryRenderedFeatures([x, y], { layers }),
    ...map.queryRenderedFeatures(box, { layers: layers.filter((id) => !id.endsWith(":fill")) }),
  ];
  touched.sort((one, other) => rankOf(one) - rankOf(other));
  const unique = new Map(touched.map((hit) => [`${hit.source}/${hit.id}`, hit]));
  return [...unique.values()].map(({ source, id }) => ({
    dataset: datasets.find(({ sourceId }) => sourceId === source),
    index: id,
  }));
}

// A thin line or a small point is meant when it is near, whatever area lies below it.
function rankOf({ layer }) {
  return layer.id.endsWith(":outline") ? 2 : ["circle", "line", "fill"].indexOf(layer.type);
}

/** Makes one feature at a time stand out, as "hovered" or "picked"; `show(null)` ends it. */
export function highlighter(map, state) {
  let shown = null;
  const mark = ({ dataset, index }, value) =>
    map.setFeatureState({ source: dataset.sourceId, id: index }, { [state]: value });
  return {
    show(hit) {
      if (shown) mark(shown, false);
      if (hit) mark(hit, true);
      shown = hit;
    },
  };
}
