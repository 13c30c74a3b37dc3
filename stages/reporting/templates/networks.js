// The trained networks, run in the browser: first their layers, then the networks themselves.
//
// The page holds each network as a list of layers in JSON, made by stages/reporting/draw.py.
// draw.js runs them on drawings; worked_example.js takes the normalization alone.
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

// Each output number is a weighted sum of the input numbers under the kernel, in all channels.
function convolve(input, { outputs, kernel, padding, weights }) {
  const x = padding ? surroundWithZeros(input, padding) : input;
  const y = tensor(x.count, outputs, x.size - kernel + 1);
  const distances = range(x.channels * kernel ** 2).map((i) => { // from the kernel's first corner
    const { plane, row, column } = placeOf(i, kernel);
    return indexOf(plane, row, column, x.size);
  });
  for (let i = 0; i < y.data.length; i++) {
    const { plane, row, column } = placeOf(i, y.size);
    const image = Math.floor(plane / outputs), channel = plane % outputs;
    const corner = indexOf(image * x.channels, row, column, x.size);
    const ownWeights = channel * distances.length; // where this channel's weights begin
    let sum = 0;
    for (let k = 0; k < distances.length; k++) {
      sum += weights[ownWeights + k] * x.data[corner + distances[k]];
    }
    y.data[i] = sum;
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
    const { plane, row, column } = placeOf(i, x.size);
    const target = indexOf(plane, Math.floor(row / kernel), Math.floor(column / kernel), y.size);
    y.data[target] = combine(y.data[target], value);
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
