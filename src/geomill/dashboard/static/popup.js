// The attribute table of a clicked feature. Values are data: they only ever become text nodes.

import { Popup } from "./vendor/maplibre-gl/maplibre-gl.mjs";
import { element, icon } from "./dom.js";

/** Shows one popup at a time; `pick(hit)` is called with what it shows, null once closed. */
export function featurePopup(map, pick) {
  let open = null;
  const close = () => open?.remove();
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !open) return;
    close();
    map.getCanvas().focus();
  });
  return {
    close,
    show(lngLat, hits) {
      close();
      if (hits.length === 0) return;
      const content = element("div", { class: "feature" });
      const turnTo = (position, pressed) => {
        pick(hits[position]);
        content.replaceChildren(...partsOf(hits, position, turnTo));
        if (pressed) content.querySelector(`.${pressed}`).focus();
      };
      turnTo(0, null);
      const popup = new Popup({ maxWidth: "none" }).setLngLat(lngLat).setDOMContent(content);
      popup.on("close", () => {
        if (open === popup) open = null;
        pick(null);
      });
      open = popup.addTo(map);
    },
  };
}

function partsOf(hits, position, turnTo) {
  const { dataset, index } = hits[position];
  const feature = dataset.features[index];
  const swatch = element("span", { class: "dot" });
  swatch.style.setProperty("--color", dataset.color);
  return [
    element("header", {}, swatch, element("h2", {}, dataset.title), pager(hits, position, turnTo)),
    scrollable("Attributes", attributeTable(feature.properties ?? {})),
    featureLink(dataset, feature),
  ];
}

function scrollable(name, content) {
  const attributes = { class: "attributes", tabindex: "0", role: "group", "aria-label": name };
  return element("div", attributes, content);
}

function pager(hits, position, turnTo) {
  if (hits.length === 1) return null;
  const step = (name, label, path, by) => {
    const click = () => turnTo((position + by + hits.length) % hits.length, name);
    const attributes = { class: `icon-button ${name}`, type: "button", "aria-label": label, click };
    return element("button", attributes, icon(path));
  };
  return element("div", { class: "pager" },
    step("previous", "Previous feature here", "M10 4 6 8l4 4", -1),
    element("span", { role: "status" }, `${position + 1} of ${hits.length}`),
    step("next", "Next feature here", "m6 4 4 4-4 4", 1));
}

function attributeTable(properties) {
  const entries = Object.entries(properties);
  if (entries.length === 0) return element("p", { class: "muted" }, "No attributes.");
  const rows = entries.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), valueCell(value)));
  return element("table", {}, element("tbody", {}, ...rows));
}

function valueCell(value) {
  if (value === null || value === undefined) return element("td", { class: "muted" }, "null");
  if (typeof value === "number") return element("td", { class: "number" }, String(value));
  return element("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value));
}

function featureLink(dataset, feature) {
  if (feature.id === undefined || feature.id === null) return null;
  const [path] = dataset.itemsUrl.split("?");
  return element("a", { href: `${path}/${encodeURIComponent(feature.id)}` }, "Feature as GeoJSON");
}
