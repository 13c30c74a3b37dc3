// The part that reads drawings, with the networks of networks.js: how a drawing becomes an image and
// how images are changed, what the reader asks for, and what the page shows.
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

const clip = (value) => Math.min(1, Math.max(0, value));

// Contrast is the share that is left of each pixel's distance from its image's mean; brightness is
// added; noise is the standard deviation of what is added at random. 0 and 1 are the limits, and
// the result is one of the 256 grey values of image files.
function change(images, { contrast, brightness, noise }, random) {
  const means = range(images.length / PIXELS).map((i) => moments([part(images, PIXELS, i)]).mean);
  return images.map((value, i) => {
    const mean = means[Math.floor(i / PIXELS)], faded = clip(mean + contrast * (value - mean));
    return Math.round(255 * clip(clip(faded + brightness) + noise * random[i])) / 255;
  });
}

// Random numbers of a normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
const normals = (count) => Float32Array.from(range(count), () =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));

// ---- What the reader asks for. draw.html.j2 says what its controls mean.

const element = (id) => document.getElementById(`draw-${id}`);
const data = JSON.parse(element("data").textContent);
const testImages = Float32Array.from(bytes(data.images), (value) => value / 255);
const batch = new Float32Array(PIXELS + testImages.length); // the drawing, then the test images
const form = element("form"), { pick, contrast, brightness, noise } = form.elements;
const sliders = [contrast, brightness, noise], truth = element("truth");
const board = element("board"), pen = board.getContext("2d", { willReadFrequently: true });
const ink = new Float32Array(board.width * board.height); // of the drawing, from 0 to 1
const initial = [...new FormData(form)];
let random = normals(batch.length); // what the noise is made of
let last; // where the pen was
let isDrawing = false, isTold = true; // what the drawing shows; else the networks guess it
let frame, writing; // timers: of the next update, and of the next writing of the address
let ask; // gives a job to a worker, or does it here where the browser refuses workers
let job = { number: 0 }, answers; // to the job, by model
let isBusy = false, isLate = false; // with the first answers; for the next job

function startWorker() {
  const networks = element("networks").textContent;
  const stayHere = () => {
    const models = readModels(networks);
    ask = (job) => answer(models, job, take);
    isBusy = false;
    updateSoon();
  };
  try {
    const worker = new Worker(URL.createObjectURL(new Blob([element("code").textContent])));
    Object.assign(worker, { onmessage: (event) => take(event.data), onerror: stayHere });
    worker.postMessage(networks);
    ask = (job) => worker.postMessage(job);
  } catch {
    stayHere();
  }
}

// Once per frame at most, however fast the mouse is, and once the last job has its first answers.
function updateSoon() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(update);
}

function update() {
  isLate = isBusy;
  if (isBusy) return;
  if (!pick.value) batch.set(likeTestImages(ink, board.width, data.longerSide));
  const unchanged = batch.slice(0, PIXELS), isEmpty = !unchanged.some(Boolean);
  const settings = Object.fromEntries(sliders.map((one) => [one.name, one.valueAsNumber]));
  const sources = Object.fromEntries(data.models.map((model) => [model, sourcesOf(model)]));
  const chosen = Object.values(sources).flatMap((own) => own ?? []);
  const images = change(chosen.length ? batch : unchanged, settings, random);
  paint(element("view"), part(images, PIXELS, 0));
  showSettings(settings, isEmpty, chosen.length > 0);
  if (isDrawing && chosen.includes("batch")) return; // which takes long
  const number = job.number + 1, { labels } = data;
  job = { number, unchanged, images, labels, sources, all: !isDrawing };
  answers = Object.fromEntries(data.models.map((model) => [model, { asked: [] }]));
  if (isEmpty) return showAnswers();
  isBusy = true;
  ask(job);
}

// Where the layers of a model take their statistics from; null if as usual.
function sourcesOf(model) {
  const switches = [...form.querySelectorAll(`select[name^=${model}]`)];
  const isUsual = switches.every((one) => one.querySelector("[selected]").selected);
  return isUsual ? null : switches.map((one) => one.value);
}

// Add a line to the ink. What the board shows is not read: against tracking, some browsers answer
// with noise.
function addLine(from, to) {
  const reach = pen.lineWidth / 2 + 0.5, across = to.x - from.x, down = to.y - from.y;
  const square = across ** 2 + down ** 2 || 1; // a dot has no length
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const bottom = Math.min(board.height, Math.ceil(Math.max(from.y, to.y) + reach));
  for (let i = top * board.width; i < bottom * board.width; i++) {
    const x = i % board.width + 0.5 - from.x, y = Math.floor(i / board.width) + 0.5 - from.y;
    const share = clip((x * across + y * down) / square); // of the line, up to the nearest point
    const distance = Math.sqrt((x - share * across) ** 2 + (y - share * down) ** 2);
    ink[i] = Math.max(ink[i], clip(reach - distance));
  }
}

function clearBoard() {
  for (const one of pick) one.checked = false;
  pen.fillRect(0, 0, board.width, board.height);
  ink.fill(0);
  isTold = false;
}

function showPicked() {
  const place = data.indices.indexOf(Number(pick.value));
  batch.set(part(testImages, PIXELS, place));
  paint(element("view"), part(batch, PIXELS, 0));
  pen.drawImage(element("view"), 0, 0, board.width, board.height);
  truth.value = data.labels[place];
  isTold = true;
}

function draw(event) {
  if (!event.isPrimary || event.buttons !== 1) return; // another finger, or nothing is pressed
  const scale = board.width / board.clientWidth;
  const place = { x: event.offsetX * scale, y: event.offsetY * scale };
  if (event.type === "pointerdown") {
    if (pick.value) clearBoard();
    board.setPointerCapture(event.pointerId);
    isDrawing = true;
    last = place;
  }
  if (!isDrawing) return; // it was pressed elsewhere
  pen.beginPath();
  pen.moveTo(last.x, last.y);
  pen.lineTo(place.x, place.y + 0.1); // so that a click draws a dot
  pen.stroke();
  addLine(last, place);
  last = place;
  updateSoon();
}

function release() {
  isDrawing = false;
  respond();
}

// Update, and keep what the reader changed in the address, so that a situation can be sent.
function respond() {
  updateSoon();
  clearTimeout(writing);
  writing = setTimeout(() => {
    const state = new URLSearchParams(new FormData(form));
    for (const [name, value] of initial) if (state.get(name) === value) state.delete(name);
    history.replaceState(null, "", `#draw?${state}`);
  }, 300);
}

function readAddress() {
  const [id, query] = location.hash.split("?");
  if (id !== "#draw" || query === undefined) return;
  form.reset();
  for (const [name, value] of new URLSearchParams(query)) {
    const control = form.elements.namedItem(name);
    if (control) control.value = value;
    if (control?.selectedIndex === -1) control.querySelector("[selected]").selected = true;
  }
  document.getElementById("draw").scrollIntoView();
  showPicked();
  updateSoon();
}

// ---- What the page shows.

const show = (number) => number.toFixed(2).replace("-", "\u2212"); // a minus, not a hyphen

function write(id, text) { // what stays the same need not be read out again
  if (element(id).textContent !== text) element(id).textContent = text;
}

function showSettings(settings, isEmpty, isSwitched) {
  for (const { name, value, min, max } of sliders) {
    write(`${name}-shown`, show(Number(value)));
    element(`${name}-mark`)?.setAttribute("d", `M${100 * (value - min) / (max - min)} 0v100`);
  }
  for (const button of form.querySelectorAll("[aria-pressed]")) {
    const isOn = sliders.every(({ name }) => Number(button.dataset[name]) === settings[name]);
    button.setAttribute("aria-pressed", isOn);
  }
  element("new-noise").disabled = settings.noise === 0;
  const moved = sliders.filter((one) => one.value !== one.defaultValue);
  const { name, valueAsNumber } = moved[0] ?? contrast;
  const recorded = data.record[name].find(({ at }) => at === valueAsNumber && moved.length < 2);
  element("record").hidden = !recorded || isSwitched;
  if (recorded) write("recorded", data.models.map((one) => `${one} ${recorded[one]} %`).join(", "));
  const whose = pick.value ? `Test image ${pick.value}: drawing replaces it.` : "Your drawing.";
  write("shown", isEmpty ? `Draw a ${data.noun}.` : whose);
}

// Take in an answer, unless it comes too late. Shown are the first ones together, then all.
function take({ number, isLast, model, probabilities, ...more }) {
  if (number !== job.number) return;
  const all = Object.values(answers);
  Object.assign(answers[model], more); // what the typical one reads, or how many it gets right
  if (probabilities) answers[model].asked.push(probabilities);
  const areFirst = "usual" in more && all.every((one) => one.asked.length);
  if (areFirst && !isTold) truth.value = all.map((one) => one.usual).sort()[1]; // what two read
  if (areFirst || isLast) showAnswers();
  if (!areFirst) return;
  isBusy = false;
  if (isLate) updateSoon();
}

function showAnswers() {
  const label = Number(truth.value);
  for (const [model, { asked, right }] of Object.entries(answers)) {
    const counts = data.classes.map((_, i) => asked.filter((one) => best(one) === i).length);
    const verdict = 2 * counts[label] > asked.length ? "right" : "wrong";
    write(`${model}-verdict`, asked.length ? verdict : "");
    element(`${model}-verdict`).className = verdict;
    write(`${model}-tally`, asked.length ? tell(counts, asked.length, label, right) : "");
    data.classes.forEach((_, i) => {
      const row = element(`${model}-${i}`);
      const percent = 100 * asked.reduce((sum, one) => sum + one[i] / asked.length, 0);
      row.classList.toggle("truth", i === label);
      row.querySelector("i").style.width = `${percent}%`;
      row.lastElementChild.textContent = percent.toFixed(1);
    });
  }
}

function tell(counts, count, label, right) {
  const name = (i) => data.classes[i];
  if (count < data.count || count === 1) {
    const more = right === undefined ? "" : `, and ${right} of ${data.labels.length} test images right`;
    return `one network reads ${name(best(counts))}${more}`;
  }
  const others = range(counts.length).filter((i) => counts[i] && i !== label);
  const more = others.sort((a, b) => counts[b] - counts[a]).map((i) => `, ${counts[i]} read ${name(i)}`);
  return `${counts[label]} of ${count} networks read ${name(label)}${more.join("")}`;
}

// What the record says of the guess, and an image on which it shows.
function answerGuess({ guess, pick: index, contrast: at }) {
  pick.value = index;
  showPicked();
  const recorded = data.record.contrast.find((point) => point.at === Number(at));
  if (!recorded) return write("guessed", `You said ${guess}.`);
  const [worst, ...others] = [...data.models].sort((a, b) => recorded[a] - recorded[b]);
  const shares = others.map((one) => `${one} ${recorded[one]} %`).join(", ");
  write("guessed", `${guess === worst ? "Yes" : "No"}: of all test images, faded like this one, ` +
    `${worst} reads ${recorded[worst]} % right, ${shares}.`);
  element("thaw").hidden = worst !== "bn";
}

function paint(canvas, image) {
  const context = canvas.getContext("2d"), painted = context.createImageData(SIDE, SIDE);
  image.forEach((value, i) => painted.data.set([...Array(3).fill(255 * value), 255], 4 * i));
  context.putImageData(painted, 0, 0);
}

Object.assign(pen, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
for (const type of ["pointerdown", "pointermove"]) board.addEventListener(type, draw);
for (const type of ["pointerup", "pointercancel"]) board.addEventListener(type, release);
form.addEventListener("input", ({ target }) => {
  if (target.name === "pick") showPicked();
  if (target === truth) isTold = true;
  if (target.dataset.all) { // the switch of all layers sets theirs, then rests
    for (const one of form.querySelectorAll(`select[name^=${target.dataset.all}]`)) {
      one.value = target.value === "usual" ? one.querySelector("[selected]").value : target.value;
    }
    target.value = "";
  }
  respond();
});
form.addEventListener("click", ({ target: { id, type, dataset } }) => {
  if (id === "draw-wipe") clearBoard();
  if (id === "draw-new-noise") random = normals(batch.length);
  if (dataset.guess) answerGuess(dataset);
  for (const one of sliders) one.value = dataset[one.name] ?? one.value; // "noisy" and its like
  if (type === "button") respond();
});
window.addEventListener("hashchange", readAddress);
form.hidden = false;
batch.set(testImages, PIXELS);
showPicked();
startWorker();
readAddress();
updateSoon();
