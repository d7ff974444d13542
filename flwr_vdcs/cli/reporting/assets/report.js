"use strict";

const data = JSON.parse(document.getElementById("report-data").textContent);
const figures = data.figures;
const hover = data.hover.map((row) => row.map((text) => text.replaceAll("\n", "<br>")));
const boundaries = [...(figures.verdicts.layout.shapes ?? [])];
const heatmaps = ["verdicts", "scores"];
const chooser = document.getElementById("client");
const pixelsForLetter = 24;
const config = { responsive: true, displayModeBar: false };
const isTouched = window.matchMedia("(pointer: coarse)").matches;

let table = null;

function draw(name, figure) {
  const chart = document.getElementById(name);
  figure.layout.dragmode = isTouched ? false : "zoom";
  if (heatmaps.includes(name)) {
    figure.data[0].hovertext = hover;
    if (chart.clientWidth < pixelsForLetter * hover[0].length) {
      figure.data[0].texttemplate = "";
    }
  }
  Plotly.newPlot(chart, figure.data, figure.layout, config);
  if (heatmaps.includes(name)) {
    chart.on("plotly_click", ({ points }) => choose(String(points[0].y)));
  }
}

function choose(place) {
  chooser.value = place;
  narrow(place);
}

function narrow(place) {
  const isChosen = (_text, row) => String(row[0]) === place;
  table.column(0).search.fixed("client", place === "" ? null : isChosen).draw();
  for (const row of document.querySelectorAll("tr[data-place]")) {
    row.classList.toggle("chosen", row.dataset.place === place);
  }
  for (const name of heatmaps) {
    const frame = place === "" ? [] : [frameAround(Number(place))];
    Plotly.relayout(name, { shapes: [...boundaries, ...frame] });
  }
}

function frameAround(row) {
  const line = { color: "#25323d", width: 2 };
  const ends = { x0: 0, x1: 1, y0: row - 0.5, y1: row + 0.5 };
  return { type: "rect", xref: "paper", line, ...ends };
}

chooser.addEventListener("change", () => narrow(chooser.value));
for (const button of document.querySelectorAll("button[data-place]")) {
  button.addEventListener("click", () => {
    choose(button.dataset.place);
    document.getElementById("decisions-title").scrollIntoView();
  });
}
document.addEventListener("decisions-ready", (event) => {
  table = event.detail;
}, { once: true });
for (const [name, figure] of Object.entries(figures)) {
  draw(name, figure);
}
