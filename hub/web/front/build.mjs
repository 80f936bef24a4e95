// Bundles what the pages load into hub/web/static/dist. Nothing is fetched by the pages from
// anywhere else: MapLibre, its worker and its style sheet are served by us. Names stay plain; the
// server adds ?v=<digest> to every address, so that files can be cached for ever.
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = here("../static/dist");

await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: {
    indicators: here("src/indicators.js"),
    map: here("src/map.js"),
    partner: here("src/partner.js"),
    // A file of its own under our origin, so that `worker-src 'self'` is enough: no blob, no eval.
    "map-worker": here("node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs"),
  },
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "eof",
  loader: { ".svg": "dataurl" },
  logLevel: "warning",
});
