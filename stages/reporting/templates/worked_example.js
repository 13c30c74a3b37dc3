// The worked example, alive: the numbers may be changed, and colours, statistics and results follow.
// It computes with networks.js, and writes numbers as draw.js does: these come before it.
"use strict";

{ // names of its own, beside those of the other scripts
  const form = document.getElementById("example");
  const formula = document.getElementById("example-formula");
  const note = document.getElementById("example-note");
  const fills = form.dataset.fills.split(" ");
  const inputs = [...form.querySelectorAll(".planes input")];
  const images = 4, channels = 4, size = 2, most = 99;
  const given = inputs.map((input) => Number(input.value));
  let numbers = given; // where an input holds none, the last one that it held
  let results, statistics; // of each number, of each plane
  let shown = 0; // the number whose formula is shown

  // A comma is a point here, and the minus may be the page's own. NaN is no number to take.
  const read = ({ value }) => {
    const text = value.trim().replace(",", ".").replace("\u2212", "-");
    return text !== "" && Math.abs(text) <= most ? Number(text) : NaN;
  };

  const update = () => {
    const fresh = inputs.map(read);
    numbers = fresh.map((value, i) => Number.isNaN(value) ? numbers[i] : value);
    const { normalization: { value: kind }, groups } = form.elements;
    groups.disabled = kind !== "gn";
    const layer = {
      groups: { bn: channels, gn: Number(groups.value), ln: 1 }[kind],
      usual: kind === "bn" ? "batch" : "image",
      eps: 1e-5,
      weight: [1, 1, 1, 1], // as before any training
      bias: [0, 0, 0, 0],
    };
    const [x, before] = [numbers, given].map((all) =>
      tensor(images, channels, size, Float32Array.from(all)));
    const unmoved = normalize(before, layer).data;
    results = normalize(x, layer).data;
    statistics = [];
    sharingPlanes(x, layer.groups, kind === "bn").forEach((planes, set) => {
      const own = moments(planes.map((plane) => part(x.data, size * size, plane)));
      for (const plane of planes) {
        const figure = form.querySelectorAll("figure")[plane];
        figure.style.background = fills[set % fills.length];
        figure.style.filter = set < fills.length ? "" : "brightness(0.85)"; // more sets than fills
        figure.lastElementChild.textContent = `mean ${show(own.mean)}\nvar. ${show(own.variance)}`;
        statistics[plane] = own;
      }
    });
    const moved = range(inputs.length).filter((i) => Math.abs(results[i] - unmoved[i]) > 0.005);
    inputs.forEach((input, i) => {
      input.setAttribute("aria-invalid", Number.isNaN(fresh[i]));
      input.nextElementSibling.textContent = show(results[i]);
      input.nextElementSibling.classList.toggle("moved", moved.includes(i));
    });
    const wrong = inputs.find((_, i) => Number.isNaN(fresh[i]));
    const touched = new Set(moved.map((i) => 1 + Math.floor(i / (channels * size * size))));
    note.textContent = wrong
      ? `${wrong.ariaLabel}: write a number from \u2212${most} to ${most}, such as \u22121.5.`
      : moved.length ? `${moved.length} of ${inputs.length} results moved, in image ${[...touched].join(", ")}.` : "";
    explain();
  };

  // The normalization of one number, with its own numbers.
  const explain = () => {
    const { mean, variance } = statistics[Math.floor(shown / size ** 2)];
    const signed = (number) => number < 0 ? `(${show(number)})` : show(number);
    formula.textContent = `${inputs[shown].ariaLabel}: (${show(numbers[shown])} \u2212 ${signed(mean)}) / \u221a${show(variance)} = ${show(results[shown])}`;
  };

  for (const event of ["focusin", "pointerover"]) {
    form.addEventListener(event, ({ target }) => {
      const input = target.closest("span")?.querySelector("input");
      if (!input) return;
      shown = inputs.indexOf(input);
      explain();
    });
  }
  form.addEventListener("input", update);
  form.querySelector("button").addEventListener("click", () => {
    form.querySelectorAll(".planes input").forEach((input) => { input.value = input.defaultValue; });
    update();
  });
  form.hidden = false;
  update();
}
