// Extents in degrees, [west, south, east, north]; east < west crosses the antimeridian.

const MERCATOR_LATITUDE = 85;

/** The first extent of a collection, or null if it has none (every geometry is null). */
export function extentOf(collection) {
  const box = collection.extent?.spatial?.bbox?.[0];
  if (!Array.isArray(box) || !box.every(Number.isFinite)) return null;
  if (box.length === 4) return box;
  if (box.length === 6) return [box[0], box[1], box[3], box[4]];
  return null;
}

/** Area in square degrees: enough to draw the larger below the smaller. */
export function areaOf(extent) {
  if (!extent) return 0;
  const [west, south, east, north] = extent;
  return (unwrapped(west, east) - west) * (north - south);
}

/**
 * The smallest [[west, south], [east, north]] around all extents, or null without any.
 * East is beyond 180 where the shortest way around the globe crosses the antimeridian.
 */
export function boundsAround(extents) {
  const known = extents.filter(Boolean);
  if (known.length === 0) return null;
  const [west, east] = longitudesAround(known);
  const south = Math.max(Math.min(...known.map((extent) => extent[1])), -MERCATOR_LATITUDE);
  const north = Math.min(Math.max(...known.map((extent) => extent[3])), MERCATOR_LATITUDE);
  return [[west, Math.min(south, MERCATOR_LATITUDE)], [east, Math.max(north, -MERCATOR_LATITUDE)]];
}

function longitudesAround(extents) {
  const arcs = mergedArcs(extents);
  let gap = arcs[0][0] + 360 - arcs.at(-1)[1];
  let bounds = [arcs[0][0], arcs.at(-1)[1]];
  for (let index = 1; index < arcs.length; index += 1) {
    const candidate = arcs[index][0] - arcs[index - 1][1];
    if (candidate <= gap) continue;
    gap = candidate;
    bounds = [arcs[index][0], arcs[index - 1][1] + 360];
  }
  return gap <= 0 ? [-180, 180] : bounds;
}

function mergedArcs(extents) {
  const arcs = extents.map(([west, , east]) => [west, unwrapped(west, east)]);
  arcs.sort((one, other) => one[0] - other[0]);
  const merged = [[...arcs[0]]];
  for (const [west, east] of arcs.slice(1)) {
    const last = merged.at(-1);
    if (west > last[1]) merged.push([west, east]);
    else last[1] = Math.max(last[1], east);
  }
  return merged;
}

function unwrapped(west, east) {
  return east < west ? east + 360 : east;
}
