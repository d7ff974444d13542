"use strict";
/* Heat maps to words: what a cell says, under the mouse and with the arrow keys. */

const grid = data.grid;
const numRows = grid.clients.length;
const numColumns = grid.columns.length;
const pixelsForLetter = 9;
const hint = byId("hint");
const moves = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

const reasons = new Map();
for (const { entry, place, verdict, values } of decisions) {
  reasons.set(`${entry} ${place} ${verdict}`, values[4]);
}

function said(column, row) {
  const place = grid.clients[row];
  const entry = grid.columns[column];
  const [number, run, serverRound, , , isReportOnly] = data.entries[entry];
  const again = run > 1 ? ` (round ${serverRound} of run ${run})` : "";
  const lines = [`${data.clients[place]}, round ${number}${again}`];
  const verdict = grid.verdicts[row][column];
  if (verdict < 0) return [...lines, "not in the round"];
  const word = data.verdicts[verdict];
  const told = isReportOnly && word !== "kept" ? `would have been ${word}` : word;
  const score = grid.scores[row][column];
  lines.push(`${told}, ${score === null ? "no score" : `score ${Number(score.toPrecision(4))}`}`);
  const reason = reasons.get(`${entry} ${place} ${verdict}`);
  return reason ? [...lines, reason] : lines;
}

function show(plot, [column, row]) {
  const box = plot.getBoundingClientRect();
  const [width, height] = [box.width / numColumns, box.height / numRows];
  place(plot.querySelector(".cell"), column * width, row * height, width, height);
  hint.replaceChildren(...said(column, row).map((line) => element("p", line)));
  hint.hidden = false;
  const middle = box.left + (column + 0.5) * width;
  const right = document.documentElement.clientWidth - hint.offsetWidth - 8;
  hint.style.left = `${Math.max(8, Math.min(middle - hint.offsetWidth / 2, right))}px`;
  const above = box.top + row * height - hint.offsetHeight - 6;
  hint.style.top = `${above > 0 ? above : box.top + (row + 1) * height + 6}px`;
}

function place(frame, left, top, width, height) {
  const sizes = { left, top, width, height };
  for (const [side, size] of Object.entries(sizes)) frame.style[side] = `${size}px`;
  frame.hidden = false;
}

function hide(plot) {
  plot.querySelector(".cell").hidden = true;
  hint.hidden = true;
}

function cellAt(plot, { clientX, clientY }) {
  const box = plot.getBoundingClientRect();
  const column = Math.floor(((clientX - box.left) / box.width) * numColumns);
  const row = Math.floor(((clientY - box.top) / box.height) * numRows);
  return [
    Math.max(0, Math.min(column, numColumns - 1)),
    Math.max(0, Math.min(row, numRows - 1)),
  ];
}

function move(plot, cell, key) {
  const [across, down] = moves[key];
  cell[0] = Math.max(0, Math.min(cell[0] + across, numColumns - 1));
  cell[1] = Math.max(0, Math.min(cell[1] + down, numRows - 1));
  show(plot, cell);
}

for (const plot of document.querySelectorAll(".plot")) {
  const cell = [0, 0];
  plot.addEventListener("pointermove", (event) => show(plot, cellAt(plot, event)));
  plot.addEventListener("pointerleave", () => hide(plot));
  plot.addEventListener("click", (event) => {
    choose(String(grid.clients[cellAt(plot, event)[1]]));
  });
  plot.addEventListener("focus", () => {
    if (plot.matches(":focus-visible")) show(plot, cell);
  });
  plot.addEventListener("blur", () => hide(plot));
  plot.addEventListener("keydown", (event) => {
    if (event.key in moves) {
      event.preventDefault();
      move(plot, cell, event.key);
    } else if (event.key === "Enter") {
      choose(String(grid.clients[cell[1]]));
    } else if (event.key === "Escape") {
      hide(plot);
    }
  });
  new ResizeObserver(() => {
    const isDense = plot.clientWidth < pixelsForLetter * numColumns;
    plot.classList.toggle("dense", isDense);
  }).observe(plot);
}

document.addEventListener("chosen", ({ detail }) => {
  const row = grid.clients.findIndex((client) => String(client) === detail);
  for (const frame of document.querySelectorAll(".frame.row")) {
    frame.hidden = row < 0;
    frame.style.top = `calc(var(--row) * ${row})`;
  }
});
