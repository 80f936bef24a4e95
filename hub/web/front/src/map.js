// The map: our own layers on a quiet ground. No tile, glyph or sprite is loaded from anywhere;
// names of towns are HTML. Everything it shows stands in the list beside it as well.
import {
  AttributionControl,
  Map as View,
  Marker,
  NavigationControl,
  Popup,
  ScaleControl,
  setWorkerUrl,
} from "maplibre-gl";
import "maplibre-gl/dist/maplibre-gl.css";

const box = document.querySelector("#map");
const status = document.querySelector("[data-map-status]");
const words = box.dataset;
const NAMES = ["stop", "carpool", "lycee"];

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--map-${name}`).trim();

// Paint properties are read from the style sheet, so that light and dark have one source.
const paints = () => ({
  ground: { "background-color": colour("ground") },
  graticule: { "line-color": colour("graticule"), "line-width": 1 },
  river: {
    "line-color": colour("river"),
    "line-width": ["interpolate", ["linear"], ["zoom"], 6, 2, 11, 7],
    "line-blur": 1,
  },
  stop: {
    "circle-color": colour("stop"),
    "circle-opacity": 0.75,
    "circle-radius": ["interpolate", ["linear"], ["zoom"], 6, 1.3, 9, 2.6, 13, 5],
  },
  carpool: {
    "circle-color": colour("paper"),
    "circle-radius": ["interpolate", ["linear"], ["zoom"], 6, 3.5, 11, 6.5],
    "circle-stroke-color": colour("carpool"),
    "circle-stroke-width": 2.5,
  },
  lycee: {
    "circle-color": colour("lycee"),
    "circle-radius": ["interpolate", ["linear"], ["zoom"], 6, 4.5, 11, 9],
    "circle-stroke-color": colour("paper"),
    "circle-stroke-width": 1.5,
  },
});

const graticule = () => {
  const lines = [];
  for (let degree = -2; degree <= 6; degree += 0.5) lines.push([[degree, 44], [degree, 51]]);
  for (let degree = 44; degree <= 51; degree += 0.5) lines.push([[-2, degree], [6, degree]]);
  return { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines } };
};

const card = (properties) => {
  const text = document.createElement("div");
  const add = (tag, value) => {
    if (!value) return;
    const element = document.createElement(tag);
    element.textContent = value; // names come from partners' files: text, never markup
    text.append(element);
  };
  add("strong", properties.name);
  add("span", properties.place);
  add("small", words[`kind${properties.layer[0].toUpperCase()}${properties.layer.slice(1)}`]);
  return text;
};

const landmarks = (view, basemap) => {
  for (const feature of basemap.features) {
    if (feature.geometry.type !== "Point") continue;
    const label = document.createElement("span");
    label.className = "town";
    label.textContent = feature.properties.name;
    const marker = new Marker({ element: label, anchor: "bottom-left", offset: [6, -3] });
    marker.setLngLat(feature.geometry.coordinates).addTo(view);
    // The name repeats what the list says, and a marker would otherwise call itself a button.
    for (const name of ["role", "tabindex", "aria-label"]) label.removeAttribute(name);
    label.setAttribute("aria-hidden", "true");
  }
};

const start = async () => {
  setWorkerUrl(new URL(words.worker, location.href).href);
  const read = async (address) => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  };
  const [basemap, ...layers] = await Promise.all(
    [words.basemap, ...NAMES.map((name) => words[name])].map(read),
  );
  const paint = paints();
  const source = (data) => ({ type: "geojson", data });
  const line = (id) => ({ id, type: "line", source: id, paint: paint[id] });
  const view = new View({
    container: box,
    bounds: words.bounds.split(",").map(Number),
    fitBoundsOptions: { padding: 36 },
    minZoom: 5,
    maxZoom: 15,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    // One scrolls past the map without being caught in it.
    cooperativeGestures: true,
    locale: {
      "Map.Title": words.title,
      "NavigationControl.ZoomIn": words.zoomIn,
      "NavigationControl.ZoomOut": words.zoomOut,
      "Popup.Close": words.close,
      "AttributionControl.ToggleAttribution": words.sources,
      "CooperativeGesturesHandler.WindowsHelpText": words.gesture,
      "CooperativeGesturesHandler.MacHelpText": words.gestureMac,
      "CooperativeGesturesHandler.MobileHelpText": words.gestureTouch,
    },
    style: {
      version: 8,
      sources: {
        graticule: source(graticule()),
        river: source({
          type: "FeatureCollection",
          features: basemap.features.filter(({ geometry }) => geometry.type === "LineString"),
        }),
        ...Object.fromEntries(NAMES.map((name, index) => [name, source(layers[index])])),
      },
      layers: [
        { id: "ground", type: "background", paint: paint.ground },
        line("graticule"),
        line("river"),
        ...NAMES.map((id) => ({ id, type: "circle", source: id, paint: paint[id] })),
      ],
    },
  });
  view.touchZoomRotate.disableRotation();
  view.keyboard.disableRotation();
  view.addControl(new NavigationControl({ showCompass: false }), "top-right");
  view.addControl(new ScaleControl({ maxWidth: 120 }), "bottom-left");
  view.addControl(new AttributionControl({ compact: false, customAttribution: [] }));
  landmarks(view, basemap);

  const popup = new Popup({ maxWidth: "260px", offset: 12 });
  const tell = (feature) =>
    popup
      .setLngLat(feature.geometry.coordinates)
      .setDOMContent(card(feature.properties))
      .addTo(view);
  const under = ({ x, y }) =>
    view.queryRenderedFeatures(
      [
        [x - 6, y - 6],
        [x + 6, y + 6],
      ],
      { layers: NAMES },
    )[0];
  view.on("click", ({ point }) => {
    const feature = under(point);
    if (feature) tell(feature);
  });
  view.on("mousemove", ({ point }) => {
    view.getCanvas().style.cursor = under(point) ? "pointer" : "";
  });

  for (const input of document.querySelectorAll("input[data-layer]")) {
    const follow = () => {
      const visible = input.checked ? "visible" : "none";
      view.setLayoutProperty(input.dataset.layer, "visibility", visible);
    };
    view.once("load", follow);
    input.addEventListener("change", follow);
  }

  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const places = new Map(
    layers.flatMap(({ features }) =>
      features.map((feature) => [`${feature.properties.layer} ${feature.properties.id}`, feature]),
    ),
  );
  for (const button of document.querySelectorAll("button[data-place]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const feature = places.get(button.dataset.place);
      if (!feature) return;
      const target = { center: feature.geometry.coordinates, zoom: Math.max(view.getZoom(), 11) };
      if (still) view.jumpTo(target);
      else view.flyTo({ ...target, duration: 900 });
      tell(feature);
      box.scrollIntoView({ block: "nearest" });
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [layer, properties] of Object.entries(paints())) {
      for (const [name, value] of Object.entries(properties)) {
        view.setPaintProperty(layer, name, value);
      }
    }
  });

  view.once("idle", () => {
    // What was drawn, for whoever listens instead of looking (and for the browser tests).
    const drawn = NAMES.map((name) => [
      name,
      new Set(view.queryRenderedFeatures({ layers: [name] }).map(({ properties }) => properties.id)).size,
    ]);
    for (const [name, number] of drawn) box.dataset[`drawn${name}`] = number;
    box.dataset.state = view.loaded() ? "loaded" : "partial";
    status.textContent = words.ready;
    status.classList.add("away"); // seen already; said to those who listen
  });
};

start().catch((error) => {
  box.dataset.state = "failed";
  status.textContent = words.failed;
  status.classList.add("warning");
  console.warn("map:", error.message);
});
