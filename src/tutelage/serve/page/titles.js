// The titles to match: lines of the box or of a .txt, or one column of a CSV; a file is chosen or dropped.

import { parse, read } from "./csv.js";
import { byId, make } from "./dom.js";
import { some } from "./words.js";

const LIKELY = /title|job|occupation|position|beruf|puesto|titre|text/i;

/**
 * Brings the controls to life and gives a function that reads them: `{columns, rows, column}`.
 * `changed` is called when other titles stand there.
 */
export function startTitles(changed) {
  const [lines, file, column, heading, drop] = ["lines", "file", "column", "heading", "drop"].map(byId);
  const parts = ["column-choice", "heading-choice", "forget"].map(byId);
  let rows = null;

  async function take(chosen) {
    const { text, guessed } = await read(chosen);
    const told = guessed ? ", read as Windows-1252, as it is no UTF-8" : "";
    if (chosen.name.endsWith(".txt")) {
      forget();
      lines.value = text;
      byId("file-status").textContent = `${chosen.name}: one title a line${told}.`;
      return;
    }
    rows = parse(text);
    for (const part of parts) part.hidden = !rows.length;
    lines.disabled = rows.length > 0;
    byId("file-status").textContent = rows.length
      ? `${chosen.name}: ${some(rows.length, "line")}${told}.`
      : `${chosen.name} is empty. Choose another.`;
    if (!rows.length) rows = null;
    else nameColumns();
    changed();
  }

  function nameColumns() {
    const names = columnsOf(rows, heading.checked);
    const likely = names.findIndex((name) => LIKELY.test(name));
    column.replaceChildren(...names.map((name, at) => make("option", { value: at }, name)));
    column.selectedIndex = Math.max(likely, 0);
  }

  function forget() {
    rows = null;
    file.value = "";
    lines.disabled = false;
    for (const part of parts) part.hidden = true;
    byId("file-status").textContent = "";
    changed();
  }

  lines.addEventListener("input", changed);
  file.addEventListener("change", () => { if (file.files.length) take(file.files[0]); });
  column.addEventListener("change", changed);
  heading.addEventListener("change", () => { nameColumns(); changed(); });
  byId("forget").addEventListener("click", () => { forget(); file.focus(); });
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.toggle("over", over); });
  }
  drop.addEventListener("drop", ({ dataTransfer }) => { if (dataTransfer.files.length) take(dataTransfer.files[0]); });

  return () => {
    if (!rows) return { columns: ["title"], rows: pasted(lines.value), column: 0 };
    return { columns: columnsOf(rows, heading.checked), rows: rows.slice(heading.checked ? 1 : 0), column: column.selectedIndex };
  };
}

const pasted = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => [line]);

function columnsOf(rows, named) {
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  return Array.from({ length: width }, (_, at) => (named && rows[0][at]) || `column ${at + 1}`);
}
