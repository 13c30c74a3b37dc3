// The part that reads drawings, with the networks of networks.js: first how a drawing becomes an
// image and how images are changed, then what the page shows.
"use strict";

// ---- Images. A drawing becomes one as the test images did: it is scaled until its longer side
// has as many pixels as theirs (`longer`), then moved by whole pixels until its centre of mass lies
// in the pixel (14, 14), or as close to that as the edges of the image allow.

// `ink` holds the board's width x width pixels, row by row, from 0 (none) to 1.
function likeTestImages(ink, width, longer) {
  if (!ink.some(Boolean)) return new Float32Array(PIXELS);
  const ofColumns = new Float64Array(width), ofRows = new Float64Array(width); // their masses
  ink.forEach((value, i) => {
    ofColumns[i % width] += value;
    ofRows[Math.floor(i / width)] += value;
  });
  const extents = [ofColumns, ofRows].map(measure);
  const side = Math.max(...extents.map(({ length }) => length)) / longer; // of a pixel
  const [left, top] = extents.map(({ first, length, centre }) => { // of the image, on the board
    const free = Math.floor(SIDE - length / side + 1e-6); // pixels beside it; against rounding
    const wanted = Math.round(14.5 - (centre - first) / side); // pixels before it
    return first - side * Math.min(free, Math.max(0, wanted));
  });
  return Float32Array.from(range(PIXELS), (i) =>
    meanOfSquare(ink, width, left + side * (i % SIDE), top + side * Math.floor(i / SIDE), side));
}

// Where the ink begins along one axis, how far it reaches, and where its centre of mass lies.
function measure(masses) {
  const inked = range(masses.length).filter((i) => masses[i] > 0);
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const centre = sum(inked.map((i) => masses[i] * (i + 0.5))) / sum(masses);
  return { first: inked[0], length: inked.at(-1) + 1 - inked[0], centre };
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

// ---- What the page shows. draw.html.j2 says what its controls mean.

const show = (number) => number.toFixed(2).replace("-", "\u2212"); // a minus, not a hyphen
const element = (id) => document.getElementById(`draw-${id}`);
const data = JSON.parse(element("data").textContent);
const networks = Object.entries(data.networks).map(([model, one]) => [model, readNetwork(one)]);
const testImages = Float32Array.from(bytes(data.images), (value) => value / 255);
const batch = new Float32Array(PIXELS + testImages.length); // the drawing, then the test images
const board = element("board"), pen = board.getContext("2d", { willReadFrequently: true });
const picks = [...document.getElementsByName("draw-pick")];
const sliders = ["contrast", "brightness", "noise"];
let random = normals(batch.length); // what the noise is made of
let frame, counting; // timers: of the next update, and of the next count

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
  } else if (!board.hasPointerCapture(event.pointerId)) return; // nothing is pressed
  const scale = board.width / board.clientWidth;
  pen.lineTo(event.offsetX * scale, event.offsetY * scale);
  pen.stroke();
  const { data: rgba, width } = pen.getImageData(0, 0, board.width, board.height);
  const ink = Float32Array.from(range(width * width), (i) => rgba[4 * i] / 255);
  updateSoon(likeTestImages(ink, width, data.longerSide));
}

// Once per frame at most, however fast the mouse is. An `image` takes the drawing's place.
function updateSoon(image = []) {
  batch.set(image);
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(update);
}

function update() {
  const settings = Object.fromEntries(sliders.map((name) => [name, Number(element(name).value)]));
  for (const name of sliders) element(`${name}-shown`).textContent = show(settings[name]);
  const useBatch = element("batch").checked;
  const unchanged = part(batch, PIXELS, 0), changed = change(batch, settings, random);
  paint(element("view"), [part(changed, PIXELS, 0)], SIDE, 1);
  const isEmpty = !unchanged.some(Boolean);
  const readings = networks.map(([model, network]) => {
    const probabilities = runNetwork(model, network, unchanged, changed, useBatch);
    showBars(model, isEmpty ? probabilities.fill(0) : probabilities);
    return `${model} reads ${data.classes[best(probabilities)]}`;
  });
  element("maps").style.visibility = isEmpty ? "hidden" : ""; // an empty image sets no scale
  element("status").textContent = isEmpty ? `Draw a ${data.noun}.` : `${readings.join(", ")}.`;
  clearTimeout(counting); // all test images take longer: count when the controls rest
  counting = setTimeout(() => networks.forEach((one) => countRight(one, changed, useBatch)), 300);
}

// Show the maps of the changed drawing, and return its probabilities.
function runNetwork(model, network, unchanged, changed, useBatch) {
  const needsBatch = model === "bn" && useBatch; // else the other images change nothing
  const images = needsBatch ? changed : part(changed, PIXELS, 0);
  const { logits, blocks } = forward(network, images, useBatch);
  const block = element("block").value, usual = forward(network, unchanged).blocks[block];
  showMaps(`${model}-before`, blocks[block].before, usual.before);
  showMaps(`${model}-after`, blocks[block].after, usual.after);
  return softmax(part(logits, 10, 0));
}

function showBars(model, probabilities) {
  probabilities.forEach((probability, label) => {
    const row = element(`${model}-${label}`);
    row.querySelector("i").style.width = `${100 * probability}%`;
    row.lastElementChild.textContent = (100 * probability).toFixed(1);
  });
}

function countRight([model, network], changed, useBatch) {
  const { logits } = forward(network, changed, useBatch);
  const right = data.labels.filter((label, i) => best(part(logits, 10, i + 1)) === label);
  element(`${model}-right`).textContent = `${right.length} of ${data.labels.length}`;
}

// The channels of the drawing: white above 0, pink below. What the unchanged one gives (`usual`)
// sets the scale, so that a change looks like one.
function showMaps(id, { data, channels, size }, usual) {
  const maps = range(channels).map((channel) => part(data, size * size, channel));
  paint(element(id), maps, size, Math.max(...usual.data.map(Math.abs)));
  const { mean, variance } = moments(maps);
  element(`${id}-text`).textContent = `mean ${show(mean)}, deviation ${show(Math.sqrt(variance))}`;
}

// Paint planes of size x size numbers, four in a row; `highest` has the full colour.
function paint(canvas, planes, size, highest) {
  const columns = Math.min(4, planes.length), rows = planes.length / columns;
  const pitch = size + 1; // a line of one pixel stands between the planes
  canvas.width = columns * pitch - 1;
  canvas.height = rows * pitch - 1;
  const context = canvas.getContext("2d"), tile = context.createImageData(size, size);
  planes.forEach((plane, n) => {
    plane.forEach((value, i) => {
      const full = value < 0 ? [255, 70, 160] : [255, 255, 255];
      const colour = full.map((part) => part * Math.abs(value) / highest);
      tile.data.set([...colour, 255], 4 * i);
    });
    context.putImageData(tile, n % columns * pitch, Math.floor(n / columns) * pitch);
  });
}

Object.assign(pen, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
board.addEventListener("pointerdown", draw);
board.addEventListener("pointermove", draw);
element("parts").addEventListener("input", ({ target }) =>
  target.name === "draw-pick" ? pick(Number(target.value)) : updateSoon());
element("parts").addEventListener("click", ({ target: { id, dataset } }) => {
  if (id === "draw-wipe") wipe();
  if (id === "draw-new-noise") random = normals(batch.length);
  for (const name of sliders) { // "noisy" and its like say where the sliders go
    element(name).value = dataset[name] ?? element(name).value;
  }
  updateSoon();
});
element("parts").hidden = false;
batch.set(testImages, PIXELS);
picks[0].checked = true;
pick(0);
