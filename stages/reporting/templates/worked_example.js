// The worked example, alive: the numbers may be changed, and colours, statistics and results follow.
// It computes with networks.js, and writes numbers as draw.js does.
"use strict";

{ // names of its own, beside those of the other scripts
  const form = document.getElementById("example");
  const fills = form.dataset.fills.split(" ");
  const inputs = [...form.querySelectorAll("input[type=number]")];
  const images = 4, channels = 4, size = 2;

  const update = () => {
    const x = tensor(images, channels, size, Float32Array.from(inputs, (one) => Number(one.value)));
    const { normalization, groups } = form.elements;
    groups.disabled = normalization.value !== "gn";
    const layer = {
      groups: { bn: null, gn: Number(groups.value), ln: 1 }[normalization.value],
      eps: 1e-5,
      scale: [1, 1, 1, 1], // as before any training
      shift: [0, 0, 0, 0],
    };
    const y = normalize(x, layer, true);
    inputs.forEach((input, i) => { input.nextElementSibling.textContent = show(y.data[i]); });
    sharingPlanes(x, layer.groups).forEach((planes, set) => {
      const { mean, variance } = moments(planes.map((plane) => part(x.data, size * size, plane)));
      for (const plane of planes) {
        const figure = form.querySelectorAll("figure")[plane];
        figure.style.background = fills[set % fills.length];
        figure.style.filter = set < fills.length ? "" : "brightness(0.85)"; // more sets than fills
        figure.lastElementChild.textContent = `mean ${show(mean)}\nvar. ${show(variance)}`;
      }
    });
  };

  form.addEventListener("input", update);
  form.querySelector("button").addEventListener("click", () => {
    for (const input of inputs) input.value = input.defaultValue;
    update();
  });
  form.hidden = false;
  update();
}
