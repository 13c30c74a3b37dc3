// The part that reads drawings: the three trained networks, run in the browser.
//
// First the layers and the networks, then images and their changes, last what the page shows. The
// page holds the networks and some test images as JSON, made by stages/reporting/draw.py.
"use strict";

// ---- Layers. A tensor is {data, count, channels, size}: `data` holds `count` images one after
// another, each of `channels` planes, each of size x size numbers.

const range = (length) => Array.from({ length }, (_, i) => i);
const part = (data, length, i) => data.subarray(i * length, (i + 1) * length);
const tensor = (count, channels, size, data = new Float32Array(count * channels * size ** 2)) =>
  ({ data, count, channels, size });

function pad(x, width) {
  const padded = tensor(x.count, x.channels, x.size + 2 * width);
  x.data.forEach((value, i) => {
    const row = Math.floor(i / x.size), plane = Math.floor(row / x.size);
    padded.data[(row + (2 * plane + 1) * width) * padded.size + i % x.size + width] = value;
  });
  return padded;
}

// Each output number is a weighted sum of the input numbers under the kernel, in all channels.
function convolve(input, { outputs, kernel, padding, weights }) {
  const x = padding ? pad(input, padding) : input, perImage = x.channels * x.size * x.size;
  const y = tensor(x.count, outputs, x.size - kernel + 1);
  const offsets = range(x.channels * kernel * kernel).map((i) => { // from the kernel's first number
    const row = Math.floor(i / kernel); // of the kernel, counted on through the channels
    return (Math.floor(row / kernel) * x.size + row % kernel) * x.size + i % kernel;
  });
  for (let target = 0; target < y.data.length; target++) {
    const row = Math.floor(target / y.size), plane = Math.floor(row / y.size);
    const start = Math.floor(plane / outputs) * perImage + row % y.size * x.size + target % y.size;
    let weight = plane % outputs * offsets.length, sum = 0;
    for (let i = 0; i < offsets.length; i++) sum += weights[weight++] * x.data[start + offsets[i]];
    y.data[target] = sum;
  }
  return y;
}

// Which planes share one mean and one variance is all that tells the normalizations apart:
//   bn: one channel's planes in all images of the batch;
//   gn: one image's planes in a group of neighbouring channels, which lie side by side;
//   ln: one image's planes in all channels, which is gn with one group.
function sharingPlanes({ count, channels }, groups) {
  const width = channels / groups;
  return groups === null
    ? range(channels).map((channel) => range(count).map((image) => image * channels + channel))
    : range(count * groups).map((group) => range(width).map((i) => group * width + i));
}

// Subtract the mean, divide by the standard deviation, then scale and shift each channel by
// learned numbers. A trained bn uses the running averages that it kept while it was trained,
// unless it is told to use the statistics of the batch, as it did in training.
function normalize(x, layer, useBatch) {
  const area = x.size * x.size, y = tensor(x.count, x.channels, x.size);
  for (const planes of sharingPlanes(x, layer.groups)) {
    const parts = planes.map((plane) => part(x.data, area, plane));
    const { mean, variance } = layer.groups === null && !useBatch
      ? { mean: layer.runningMean[planes[0]], variance: layer.runningVariance[planes[0]] }
      : moments(parts);
    for (const plane of planes) {
      const channel = plane % x.channels;
      const scale = layer.scale[channel] / Math.sqrt(variance + layer.eps);
      for (let i = plane * area; i < (plane + 1) * area; i++) {
        y.data[i] = (x.data[i] - mean) * scale + layer.shift[channel];
      }
    }
  }
  return y;
}

function moments(arrays) {
  let count = 0, sum = 0, squares = 0;
  for (const array of arrays) for (const value of array) { count++; sum += value; }
  const mean = sum / count;
  for (const array of arrays) for (const value of array) squares += (value - mean) ** 2;
  return { mean, variance: squares / count };
}

// Combine the numbers of each square of kernel x kernel into one.
function pool(x, kernel, start, combine) {
  const y = tensor(x.count, x.channels, x.size / kernel);
  y.data.fill(start);
  x.data.forEach((value, i) => {
    const row = Math.floor(i / x.size / kernel), column = Math.floor(i % x.size / kernel);
    y.data[row * y.size + column] = combine(y.data[row * y.size + column], value);
  });
  return y;
}

const LAYERS = {
  convolution: convolve,
  normalization: normalize,
  relu: (x) => ({ ...x, data: x.data.map((value) => Math.max(value, 0)) }),
  max_pool: (x, { kernel }) => pool(x, kernel, -Infinity, Math.max),
  average_pool: (x, { kernel }) => pool(x, kernel, 0, (sum, value) => sum + value / kernel ** 2),
};

// ---- Networks. An image is 28 x 28 numbers from 0 (black) to 1 (white).

const SIDE = 28, PIXELS = SIDE * SIDE;
const bytes = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

function readNetwork({ layers, pixels }) {
  const read = ([name, base64]) => [name, new Float32Array(bytes(base64).buffer)];
  const numbers = (layer) => Object.fromEntries(Object.entries(layer.numbers).map(read));
  return { pixels, layers: layers.map((layer) => ({ ...layer, ...numbers(layer) })) };
}

// Returns ten logits for each image, and what enters and leaves each normalization.
function forward({ layers, pixels }, images, useBatch = false) {
  const standardized = images.map((value) => (value - pixels.mean) / pixels.std);
  let x = tensor(images.length / PIXELS, 1, SIDE, standardized);
  const blocks = [];
  for (const layer of layers) {
    const before = x;
    x = LAYERS[layer.kind](before, layer, useBatch);
    if (layer.kind === "normalization") blocks.push({ before, after: x });
  }
  return { logits: x.data, blocks };
}

const best = (numbers) => numbers.indexOf(Math.max(...numbers));

function softmax(logits) {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
}

// ---- Images. A drawing becomes one as the test images did: it is scaled until its longer side
// has as many pixels as theirs (`longer`), then moved by whole pixels until its centre of mass lies
// in the pixel (14, 14), or as close to that as the edges of the image allow.

function likeTestImages(ink, width, longer) {
  if (!ink.some(Boolean)) return new Float32Array(PIXELS);
  const ofColumns = new Float64Array(width), ofRows = new Float64Array(width); // their masses
  ink.forEach((value, i) => {
    ofColumns[i % width] += value;
    ofRows[Math.floor(i / width)] += value;
  });
  const ends = [ofColumns, ofRows].map(extent);
  const side = Math.max(...ends.map(({ first, last }) => last + 1 - first)) / longer; // of a new pixel
  const [left, top] = ends.map(({ first, last, centre }) => {
    const free = Math.floor(SIDE - (last + 1 - first) / side + 1e-6); // pixels; against rounding
    return first - side * Math.min(free, Math.max(0, Math.round(14.5 - (centre - first) / side)));
  });
  return Float32Array.from(range(PIXELS), (i) =>
    meanOfSquare(ink, width, left + side * (i % SIDE), top + side * Math.floor(i / SIDE), side));
}

function extent(masses) {
  const inked = range(masses.length).filter((i) => masses[i] > 0);
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const centre = sum(inked.map((i) => masses[i] * (i + 0.5))) / sum(masses);
  return { first: inked[0], last: inked.at(-1), centre };
}

// The edges of the square may cut through the board's pixels; what lies beyond the board is black.
function meanOfSquare(ink, width, left, top, side) {
  const right = Math.min(width, left + side), bottom = Math.min(width, top + side);
  let sum = 0;
  for (let y = Math.max(0, Math.floor(top)); y < bottom; y++) {
    const high = Math.min(y + 1, bottom) - Math.max(y, top);
    for (let x = Math.max(0, Math.floor(left)); x < right; x++) {
      sum += ink[y * width + x] * high * (Math.min(x + 1, right) - Math.max(x, left));
    }
  }
  return sum / side ** 2;
}

// Contrast is the share that is left of each pixel's distance from its image's mean; brightness is
// added; noise is the standard deviation of what is added at random. 0 and 1 are the limits.
function change(images, { contrast, brightness, noise }, random) {
  const clip = (value) => Math.min(1, Math.max(0, value));
  const means = range(images.length / PIXELS).map((i) => moments([part(images, PIXELS, i)]).mean);
  return images.map((value, i) => {
    const mean = means[Math.floor(i / PIXELS)], faded = clip(mean + contrast * (value - mean));
    return clip(clip(faded + brightness) + noise * random[i]);
  });
}

// Random numbers of a normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
const normals = (count) => Float32Array.from(range(count), () =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));

// ---- The page: draw.html.j2 says what its controls mean.

const element = (id) => document.getElementById(`draw-${id}`);
const data = JSON.parse(element("data").textContent);
const networks = Object.entries(data.networks).map(([model, one]) => [model, readNetwork(one)]);
const testImages = Float32Array.from(bytes(data.images), (value) => value / 255);
const batch = new Float32Array(PIXELS + testImages.length); // the drawing, then its companions
const board = element("board"), pen = board.getContext("2d", { willReadFrequently: true });
const picks = [...document.getElementsByName("draw-pick")];
const sliders = ["contrast", "brightness", "noise"];
let random, frame, counting;

function wipe() {
  for (const one of picks) one.checked = false;
  pen.fillRect(0, 0, board.width, board.height);
  updateSoon(new Float32Array(PIXELS));
}

function pick(index) {
  updateSoon(part(testImages, PIXELS, index));
  paint(element("view"), [part(batch, PIXELS, 0)], SIDE, 1);
  pen.drawImage(element("view"), 0, 0, board.width, board.height);
}

function draw(event) {
  if (event.type === "pointerdown") {
    if (picks.some((one) => one.checked)) wipe();
    board.setPointerCapture(event.pointerId);
    pen.beginPath();
  } else if (!board.hasPointerCapture(event.pointerId)) return;
  const scale = board.width / board.clientWidth;
  pen.lineTo(event.offsetX * scale, event.offsetY * scale);
  pen.stroke();
  const { data: rgba, width } = pen.getImageData(0, 0, board.width, board.height);
  const ink = Float32Array.from(range(width * width), (i) => rgba[4 * i] / 255);
  updateSoon(likeTestImages(ink, width, data.longerSide));
}

function updateSoon(image = []) {
  batch.set(image);
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(update);
}

function update() {
  const settings = Object.fromEntries(sliders.map((name) => [name, Number(element(name).value)]));
  for (const name of sliders) element(`${name}-shown`).textContent = settings[name].toFixed(2);
  const block = element("block").value, useBatch = element("batch").checked;
  const changed = change(batch, settings, random), drawing = part(changed, PIXELS, 0);
  const unchanged = part(batch, PIXELS, 0), isEmpty = !unchanged.some(Boolean);
  paint(element("view"), [drawing], SIDE, 1);
  const readings = networks.map(([model, network]) => {
    const needed = useBatch && model === "bn" ? changed : drawing;
    const { logits, blocks } = forward(network, needed, useBatch);
    const usual = forward(network, unchanged).blocks[block];
    for (const when of ["before", "after"]) showMaps(model, when, blocks[block][when], usual[when]);
    return `${model} reads ${showReading(model, softmax(part(logits, 10, 0)), isEmpty)}`;
  });
  element("status").textContent = isEmpty ? `Draw a ${data.noun}.` : `${readings.join(", ")}.`;
  clearTimeout(counting); // all test images take longer: not before the controls rest
  counting = setTimeout(() => networks.forEach((one) => countRight(one, changed, useBatch)), 300);
}

function showReading(model, probabilities, isEmpty) {
  probabilities.forEach((probability, label) => {
    const row = element(`${model}-${label}`), share = isEmpty ? 0 : 100 * probability;
    row.querySelector("i").style.width = `${share}%`;
    row.lastElementChild.textContent = share.toFixed(1);
  });
  return data.classes[best(probabilities)];
}

function countRight([model, network], changed, useBatch) {
  const { logits } = forward(network, changed, useBatch);
  const right = data.labels.filter((label, i) => best(part(logits, 10, i + 1)) === label);
  element(`${model}-right`).textContent = `${right.length} of ${data.labels.length}`;
}

// The channels of the drawing: white above 0, pink below. What the unchanged one gives (`usual`)
// sets the scale, so that a change looks like one.
function showMaps(model, when, { data, channels, size }, usual) {
  const maps = range(channels).map((channel) => part(data, size * size, channel));
  paint(element(`${model}-${when}`), maps, size, Math.max(...usual.data.map(Math.abs)));
  const { mean, variance } = moments(maps);
  element(`${model}-${when}-text`).textContent =
    `mean ${mean.toFixed(2)}, deviation ${Math.sqrt(variance).toFixed(2)}`;
}

function paint(canvas, planes, size, highest) {
  const columns = Math.min(4, planes.length), pitch = size + 1;
  const [width, height] = [columns, planes.length / columns].map((count) => count * pitch - 1);
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), tile = context.createImageData(size, size);
  planes.forEach((plane, n) => {
    plane.forEach((value, i) => {
      const full = value < 0 ? [255, 70, 160] : [255, 255, 255];
      tile.data.set([...full.map((colour) => colour * Math.abs(value) / highest), 255], 4 * i);
    });
    context.putImageData(tile, n % columns * pitch, Math.floor(n / columns) * pitch);
  });
}

Object.assign(pen, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
for (const type of ["pointerdown", "pointermove"]) board.addEventListener(type, draw);
element("parts").addEventListener("input", ({ target }) =>
  target.name === "draw-pick" ? pick(Number(target.value)) : updateSoon());
element("parts").addEventListener("click", ({ target: { id, dataset } }) => {
  if (id === "draw-wipe") wipe();
  if (id === "draw-new-noise") random = normals(batch.length);
  for (const name of sliders) element(name).value = dataset[name] ?? element(name).value;
  updateSoon();
});
element("parts").hidden = false;
batch.set(testImages, PIXELS);
random = normals(batch.length);
picks[0].checked = true;
pick(0);
