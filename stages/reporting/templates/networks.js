// The trained networks, run in the browser: their layers, the networks, and the answers to draw.js.
//
// The page holds the networks of each model as a list of layers in JSON, made by
// stages/reporting/draw.py. A worker runs this file again, beside the page, so that reading never
// keeps anybody from drawing.
"use strict";

// ---- Layers. A tensor is {data, count, channels, size}: `data` holds `count` images one after
// another, each of `channels` planes, each of `size` rows of `size` numbers.

const range = (length) => Array.from({ length }, (_, i) => i);
const part = (data, length, i) => data.subarray(i * length, (i + 1) * length);
const tensor = (count, channels, size, data = new Float32Array(count * channels * size ** 2)) =>
  ({ data, count, channels, size });

// Where the number at `index` stands among planes of size x size numbers, and the way back.
const placeOf = (index, size) => {
  const row = Math.floor(index / size), plane = Math.floor(row / size);
  return { plane, row: row - plane * size, column: index - row * size };
};
const indexOf = (plane, row, column, size) => (plane * size + row) * size + column;

function surroundWithZeros(x, width) {
  const y = tensor(x.count, x.channels, x.size + 2 * width);
  x.data.forEach((value, i) => {
    const { plane, row, column } = placeOf(i, x.size);
    y.data[indexOf(plane, row + width, column + width, y.size)] = value;
  });
  return y;
}

// Each output plane is a sum of input planes, moved and weighted: one for each weight.
function convolve(input, { outputs, kernel, padding, weight }) {
  const x = padding ? surroundWithZeros(input, padding) : input;
  const y = tensor(x.count, outputs, x.size - kernel + 1), { data, size } = y;
  const inputs = x.channels * kernel ** 2; // the moved planes
  for (let plane = 0; plane < x.count * outputs; plane++) {
    const image = Math.floor(plane / outputs), output = plane % outputs;
    for (let i = 0; i < inputs; i++) {
      const share = weight[output * inputs + i], moved = placeOf(i, kernel);
      for (let row = 0; row < size; row++) {
        const to = indexOf(plane, row, 0, size), start = image * x.channels + moved.plane;
        const from = indexOf(start, row + moved.row, moved.column, x.size);
        for (let j = 0; j < size; j++) data[to + j] += share * x.data[from + j];
      }
    }
  }
  return y;
}

// Which planes share one mean and one variance is all that tells the normalizations apart:
//   bn: one channel's planes in all images of the batch (so each channel is a group of its own);
//   gn: one image's planes in a group of neighbouring channels;
//   ln: one image's planes in all channels, which is gn with one group.
// Returns the sets of planes that share, image by image unless `ofBatch`, then group by group.
function sharingPlanes({ count, channels }, groups, ofBatch) {
  const width = channels / groups;
  const together = ofBatch ? [range(count)] : range(count).map((image) => [image]);
  return together.flatMap((images) => range(groups).map((group) =>
    images.flatMap((image) => range(width).map((i) => image * channels + group * width + i))));
}

// Subtract the mean, divide by the standard deviation, then scale and shift each channel by
// learned numbers. The mean and the variance are those of the "image", of the whole "batch", or
// "frozen": averages of the training, which a trained bn takes unless it is told otherwise.
function normalize(x, layer, source = layer.usual) {
  const area = x.size * x.size, y = tensor(x.count, x.channels, x.size);
  sharingPlanes(x, layer.groups, source === "batch").forEach((planes, set) => {
    const group = set % layer.groups;
    const { mean, variance } = source === "frozen"
      ? { mean: layer.running_mean[group], variance: layer.running_var[group] }
      : moments(planes.map((plane) => part(x.data, area, plane)));
    for (const plane of planes) {
      const channel = plane % x.channels;
      const scale = layer.weight[channel] / Math.sqrt(variance + layer.eps);
      for (let i = plane * area; i < (plane + 1) * area; i++) {
        y.data[i] = (x.data[i] - mean) * scale + layer.bias[channel];
      }
    }
  });
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
    const { plane, row, column } = placeOf(i, x.size);
    const target = indexOf(plane, Math.floor(row / kernel), Math.floor(column / kernel), y.size);
    y.data[target] = combine(y.data[target], value);
  });
  return y;
}

const LAYERS = {
  convolution: convolve,
  normalization: (x, layer, { source }) => normalize(x, layer, source),
  relu: (x) => ({ ...x, data: x.data.map((value) => Math.max(value, 0)) }),
  max_pool: (x, { kernel }) => pool(x, kernel, -Infinity, Math.max),
  average_pool: (x, { kernel }) => pool(x, kernel, 0, (sum, value) => sum + value / kernel ** 2),
  keep: (x) => x, // for add_kept, which ends a skip connection
  add_kept: (x, _, { kept }) => ({ ...x, data: x.data.map((value, i) => value + kept.data[i]) }),
};

// ---- Networks. An image is 28 x 28 numbers from 0 (black) to 1 (white).

const SIDE = 28, PIXELS = SIDE * SIDE;
const bytes = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

// The networks of each model, decoded when they are first needed.
function readModels(json) {
  return Object.entries(JSON.parse(json)).map(([model, { layers, pixels, weights, typical }]) => {
    const networks = [];
    const take = (place) => networks[place] ??= { pixels, layers: decode(layers, weights[place]) };
    return { model, typical, count: weights.length, take };
  });
}

// Give the layers the numbers of one network, which follow one another in `base64`.
function decode(layers, base64) {
  const all = new Float32Array(bytes(base64).buffer);
  let used = 0;
  const take = ([name, count]) => [name, all.subarray(used, used += count)];
  return layers.map((layer) => ({ ...layer, ...Object.fromEntries(layer.numbers.map(take)) }));
}

// Returns ten logits for each image. The statistics of the normalizations come from `sources`, one
// each, or as usual.
function forward({ layers, pixels }, images, sources = []) {
  const standardized = images.map((value) => (value - pixels.mean) / pixels.std);
  let x = tensor(images.length / PIXELS, 1, SIDE, standardized), kept, place = 0;
  for (const layer of layers) {
    x = LAYERS[layer.kind](x, layer, { source: sources[place], kept });
    if (layer.kind === "normalization") place++;
    if (layer.kind === "keep") kept = x;
  }
  return x.data;
}

const best = (numbers) => numbers.indexOf(Math.max(...numbers));

function softmax(logits) {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
}

// ---- Answers to jobs. A job has a `number`; an image as it is (`unchanged`), and changed, as the
// first of `images`; by model, where its layers take their statistics from (`sources`, null: as
// usual); and whether to ask all networks (`all`).

let newest; // the job that ends those before it

// Report what one typical network of each model reads, then what the others read, one by one. In
// between, the browser has time for all else.
async function answer(models, job, report) {
  newest = job;
  const others = models.flatMap((one) => job.all ? askOthers(one, job) : []);
  const questions = [...models.map((one) => () => askTypical(one, job)), ...others];
  for (const [i, ask] of questions.entries()) {
    await new Promise((done) => setTimeout(done));
    if (newest !== job) return;
    report({ number: job.number, isLast: i === questions.length - 1, ...ask() });
  }
}

function askTypical({ model, typical, take }, { unchanged, images, sources }) {
  const own = sources[model] ?? [], network = take(typical);
  const needed = own.includes("batch") ? images : part(images, PIXELS, 0);
  const probabilities = softmax(part(forward(network, needed, own), 10, 0));
  return { model, probabilities, usual: best(forward(network, unchanged)) };
}

// Where layers were switched, more images tell what that does; else, more networks.
function askOthers({ model, typical, count, take }, { images, labels, sources }) {
  if (sources[model]) {
    return [() => {
      const logits = forward(take(typical), images, sources[model]);
      const isRight = (label, i) => best(part(logits, 10, i + 1)) === label; // the first is yours
      return { model, right: labels.filter(isRight).length };
    }];
  }
  const image = part(images, PIXELS, 0);
  return range(count).filter((place) => place !== typical).map((place) => () =>
    ({ model, probabilities: softmax(forward(take(place), image)) }));
}

if (typeof document === "undefined") { // in a worker: first come the networks, then jobs
  let models;
  onmessage = ({ data }) => {
    if (models) answer(models, data, postMessage);
    else models = readModels(data);
  };
}
