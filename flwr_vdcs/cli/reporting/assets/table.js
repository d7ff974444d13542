"use strict";
/* Data to the table: searched, filtered, sorted, saved, and printed whole. */

const data = JSON.parse(document.getElementById("report-data").textContent);
const byId = (id) => document.getElementById(id);
const element = (name, text = "") =>
  Object.assign(document.createElement(name), { textContent: text });

const pageLength = 25;
const refused = ["dropped", "quarantined", "banned"];
const columns = ["round", "client", "verdict", "score", "reason", "phase", "time (UTC)"];

const decisions = data.rows.map(([entry, place, verdict, score, reason]) => {
  const [number, run, serverRound, phase, time, isReportOnly] = data.entries[entry];
  const word = data.verdicts[verdict];
  const told = isReportOnly && word !== "kept" ? `would have been ${word}` : word;
  const client = data.clients[place];
  const written = score === null ? "\u2013" : score.toFixed(4);
  const values = [number, client, told, score ?? -Infinity, reason, phase, time];
  const texts = [String(number), client, told, written, reason, phase, time];
  const id = data.ids[place];
  return { entry, place, verdict, word, run, serverRound, time, score, id, values, texts };
});

const order = { column: 0, sign: 1 };
let page = 0;
let isPrinting = false;

function collated(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}

function matches(decision) {
  const number = decision.values[0];
  const day = decision.time.slice(0, 10);
  const verdict = byId("verdict").value;
  const ends = (id) => byId(id).value;
  const everywhere = byId("search").value.toLowerCase();
  return (
    (ends("client") === "" || String(decision.place) === ends("client")) &&
    (verdict === "" || String(decision.verdict) === verdict ||
      (verdict === "refused" && refused.includes(decision.word))) &&
    (ends("from-round") === "" || number >= Number(ends("from-round"))) &&
    (ends("to-round") === "" || number <= Number(ends("to-round"))) &&
    (ends("from-day") === "" || day >= ends("from-day")) &&
    (ends("to-day") === "" || day <= ends("to-day")) &&
    (everywhere === "" ||
      decision.texts.some((text) => text.toLowerCase().includes(everywhere))) &&
    searches.every((input, column) =>
      decision.texts[column].toLowerCase().includes(input.value.toLowerCase()))
  );
}

function found() {
  const { column, sign } = order;
  return decisions
    .filter(matches)
    .sort((a, b) => sign * collated(a.values[column], b.values[column]));
}

function rowOf(decision) {
  const row = element("tr");
  row.append(...decision.texts.map((text, column) => {
    const cell = element("td", text);
    cell.className = columns[column].split(" ")[0];
    return cell;
  }));
  return row;
}

function draw() {
  const rows = found();
  const last = Math.max(0, Math.ceil(rows.length / pageLength) - 1);
  page = Math.min(page, last);
  const first = isPrinting ? 0 : page * pageLength;
  const end = isPrinting ? rows.length : first + pageLength;
  const shown = rows.slice(first, end);
  document.querySelector("#decisions tbody").replaceChildren(...shown.map(rowOf));
  const all = rows.length === decisions.length ? "" : ` of ${decisions.length}`;
  byId("found").textContent = `${rows.length}${all} decisions`;
  byId("page").textContent = `page ${page + 1} of ${last + 1}`;
  byId("previous").disabled = page === 0;
  byId("next").disabled = page === last;
  byId("save").textContent = `Save ${rows.length}${all} decisions as CSV`;
}

function redraw() {
  page = 0;
  draw();
}

function sortBy(column) {
  order.sign = order.column === column ? -order.sign : 1;
  order.column = column;
  for (const [place, head] of [...heads.children].entries()) {
    const sorted = order.sign > 0 ? "ascending" : "descending";
    head.ariaSort = place === column ? sorted : "none";
  }
  redraw();
}

function quoted(value) {
  const text = String(value);
  const isFormula = typeof value === "string" && /^[=+\-@]/.test(text);
  return `"${(isFormula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function save() {
  const names = ["round", "run", "round of run", "phase", "time (UTC)", "client",
    "client id", "verdict", "score", "reason"];
  const rows = found().map((each) => {
    const [number, client, told, , reason, phase, time] = each.values;
    return [number, each.run, each.serverRound, phase, time, client, each.id, told,
      each.score ?? "", reason];
  });
  const text = [names, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n");
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([`\ufeff${text}\r\n`], { type: "text/csv" }));
  link.download = "decisions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const [heads, searchRow] = document.querySelectorAll("#decisions thead tr");
const searches = columns.map((name, column) => {
  const head = element("th");
  const button = Object.assign(element("button", name), { type: "button" });
  button.addEventListener("click", () => sortBy(column));
  head.scope = "col";
  head.ariaSort = column === 0 ? "ascending" : "none";
  head.append(button);
  heads.append(head);
  const input = Object.assign(element("input"), { type: "search", ariaLabel: `search ${name}` });
  input.addEventListener("input", redraw);
  const cell = element("td");
  cell.append(input);
  searchRow.append(cell);
  return input;
});

const filters = document.querySelector(".filters");
filters.addEventListener("input", redraw);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => {
  searches.forEach((input) => { input.value = ""; });
  setTimeout(() => choose(""));
});
byId("client").addEventListener("change", () => choose(byId("client").value));
byId("save").addEventListener("click", save);
byId("previous").addEventListener("click", () => { page -= 1; draw(); });
byId("next").addEventListener("click", () => { page += 1; draw(); });

function print(starts) {
  if (isPrinting !== starts) {
    isPrinting = starts;
    draw();
  }
}

window.addEventListener("beforeprint", () => print(true));
window.addEventListener("afterprint", () => print(false));
window.matchMedia("print").addEventListener("change", (event) => print(event.matches));

function choose(place) {
  byId("client").value = place;
  redraw();
  for (const row of document.querySelectorAll(".histories tr[data-place]")) {
    row.classList.toggle("chosen", row.dataset.place === place);
  }
  document.dispatchEvent(new CustomEvent("chosen", { detail: place }));
}

for (const button of document.querySelectorAll("button[data-place]")) {
  button.addEventListener("click", () => {
    choose(button.dataset.place);
    byId("decisions-title").scrollIntoView();
  });
}
draw();
