// A contact sheet of the faults, or of clean days, to look at:
//   node lab/tasks/build/sheet.mjs OUT.png [--photo FILE]... [--side 160] [--cell 96] [--grey] [--clean] [FAULT]...
// Each row is a fault, each photo has severities 0.1, 0.5 and 1. Without --photo, the photos are of samples/. `npm run build` comes first.
import "@tributary/kernel/node-24";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { default: sharp } = await import("sharp");
const { applyConditions, conditionsAt, faults, HOUR_MS } = await import("../dist/conditions/index.js");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    photo: { type: "string", multiple: true, default: [] },
    side: { type: "string", default: "160" },
    cell: { type: "string", default: "96" },
    grey: { type: "boolean", default: false },
    clean: { type: "boolean", default: false },
  },
});
const [out, ...names] = positionals;
if (out === undefined) {
  console.error("node lab/tasks/build/sheet.mjs OUT.png [--photo FILE] [--side PIXELS] [--grey] [--clean] [FAULT]");
  process.exit(2);
}
const unknown = names.filter((name) => !faults.some((fault) => fault.name === name));
if (unknown.length > 0) throw new Error(`no such fault: ${unknown.join(", ")}`);
const side = Number(values.side);
const cell = Number(values.cell);
const LABEL = 150;
const SEVERITIES = [0.1, 0.5, 1];

const photos = await Promise.all(
  values.photo.length > 0 ? values.photo.map((file) => pictureOf(sharp(file))) : await samplePhotos(),
);
const rows = values.clean ? cleanRows() : await faultRows();
await write(rows);
console.log(`${rows.length} rows in ${out}`);

async function samplePhotos() {
  const file = fileURLToPath(new URL("../../../samples/cifar10-test/sheet-0.png", import.meta.url));
  return [8, 6, 14].map((at) =>
    pictureOf(sharp(file).extract({ left: (at % 40) * 32, top: Math.floor(at / 40) * 32, width: 32, height: 32 })),
  );
}

async function pictureOf(image) {
  const flat = image.removeAlpha().toColourspace(values.grey ? "b-w" : "srgb");
  // Colours are converted before the picture is enlarged, as cameras do not matter here.
  const { data, info } = await sharp(await flat.png().toBuffer())
    .toColourspace(values.grey ? "b-w" : "srgb")
    .resize(side, side, { kernel: "cubic", fit: values.photo.length > 0 ? "inside" : "fill" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, data: new Uint8Array(data) };
}

async function faultRows() {
  const chosen = faults.filter(({ name }) => names.length === 0 || names.includes(name));
  const found = [];
  for (const fault of chosen) {
    const cells = [];
    for (const [camera, photo] of photos.entries())
      for (const severity of SEVERITIES) {
        const at = { severity, camera: camera + 1, frame: 7, hour: 10, site: 1 };
        const changed = fault.apply(photo, at);
        cells.push(fault.encode ? sharp(await fault.encode(changed, at)) : imageOf(changed));
      }
    found.push({ name: fault.name, cells });
  }
  return found;
}

/** Three sites (by daylight and lamps, indoors, in infrared at night), two cameras each, on five days. */
function cleanRows() {
  const hours = [0, 4, 6, 7, 9, 12, 15, 18, 20];
  return [1, 3, 4].flatMap((site) =>
    [0, 3, 6, 9, 12].map((day) => ({
      name: `site ${site}, day ${day}`,
      cells: hours.map((hour, i) => {
        const camera = site * 10 + (day % 2);
        const conditions = conditionsAt({ site, camera, time: (day * 24 + hour) * HOUR_MS, seed: 1 });
        return imageOf(applyConditions(photos[(day / 3) % photos.length], conditions, i));
      }),
    })),
  );
}

function imageOf({ data, width, height, channels }) {
  return sharp(data, { raw: { width, height, channels } });
}

async function write(rows) {
  const columns = rows[0].cells.length;
  const tiles = rows.flatMap(({ name, cells }, row) => [
    { input: Buffer.from(labelSvg(name)), left: 0, top: row * (cell + 2) },
    ...cells.map(async (image, column) => ({
      input: await image.resize(cell, cell, { fit: "contain" }).toColourspace("srgb").png().toBuffer(),
      left: LABEL + column * (cell + 2) + Math.floor(column / SEVERITIES.length) * 6,
      top: row * (cell + 2),
    })),
  ]);
  const width = LABEL + columns * (cell + 2) + Math.ceil(columns / SEVERITIES.length) * 6;
  await sharp({ create: { width, height: rows.length * (cell + 2), channels: 3, background: "white" } })
    .composite(await Promise.all(tiles))
    .png()
    .toFile(out);
}

function labelSvg(name) {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL}" height="${cell}"><text x="4" y="${cell / 2}" font-family="DejaVu Sans" font-size="14">${name}</text></svg>`;
}
