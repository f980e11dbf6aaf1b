// Tables that sort by their headings and filter. Without this script the page is whole, only still.
"use strict";

const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const valueOf = (row, column) => row.cells[column].textContent.trim();

// Numbers by size, all else by the alphabet; a cell without a number ("–") stands last either way.
function compare(one, other, column, numeric, direction) {
  const [a, b] = [valueOf(one, column), valueOf(other, column)];
  if (!numeric) return direction * a.localeCompare(b, undefined, { numeric: true });
  const [x, y] = [parseFloat(a), parseFloat(b)];
  if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
  return direction * (x - y);
}

function makeSortable(table, changed) {
  const headings = [...table.tHead.rows[0].cells];
  for (const heading of headings.filter((heading) => !("plain" in heading.dataset))) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const numeric = heading.classList.contains("number");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a, b, heading.cellIndex, numeric, ascending ? 1 : -1));
      table.tBodies[0].append(...rows);
      changed();
    });
  }
}

// What the controls above a table let through is shown, at first only `data-first` rows of it.
function makeFilter(table) {
  const controls = document.querySelector(`.controls[data-for="${table.id}"]`);
  if (!table.id || !controls) return () => {};
  const search = controls.querySelector("input");
  const choice = controls.querySelector("select");
  const output = controls.querySelector("output");
  let most = Number(table.dataset.first) || Infinity;
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  table.after(more);

  function show() {
    const wanted = folded(search.value.trim());
    let found = 0;
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const right =
        (!wanted || folded(row.textContent).includes(wanted)) &&
        (!choice || !choice.value || valueOf(row, choice.dataset.column) === choice.value);
      found += right;
      row.hidden = !right || found > most;
    }
    const shown = Math.min(found, most);
    output.textContent = `${shown} of ${found === rows.length ? found : `${found} found, ${rows.length} in all`}`;
    more.hidden = shown === found;
    more.textContent = `Show all ${found}`;
  }
  search.addEventListener("input", show);
  if (choice) choice.addEventListener("change", show);
  more.addEventListener("click", () => { most = Infinity; show(); });
  controls.hidden = false;
  show();
  return show;
}

for (const table of document.querySelectorAll("table[data-sortable]")) makeSortable(table, makeFilter(table));
