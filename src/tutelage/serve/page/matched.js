// What the titles were matched to: one row each, whose concept may be changed to another of those found.

import { write } from "./csv.js";
import { byId, fill, make, save, scoreBar } from "./dom.js";
import { count, languageName, percent, some } from "./words.js";

const UNKNOWN = "Unknown";
const ADDED = ["concept", "code", "label", "matched_label", "matched_language", "score", "confidence", "alternatives",
  "changed"]; // as `tutelage match` has them, and whether a person chose
const NOTHING = { known: false, confidence: 0, concepts: [] }; // an empty title

/**
 * `show(table, answers, {whole, truncated})` fills the table; `whole` tells that no title is left without an answer,
 * `truncated` how many were cut. Shown again with more answers, a person's choices stay, until `forget()`.
 */
export function startMatched() {
  let columns = [];
  let rows = [];
  let state = {};
  const choices = new Map(); // place in the table -> chosen concept's place, -1 for unknown

  function show(table, answers, how) {
    columns = table.columns.map((name) => (ADDED.includes(name) ? `${name} (given)` : name));
    state = how;
    rows = table.rows
      .map((cells, at) => ({ cells, at, text: (cells[table.column] ?? "").trim() }))
      .filter(({ text }) => !text || answers.has(text))
      .map((row) => ({ ...row, match: answers.get(row.text) ?? NOTHING }))
      .map((row) => ({ ...row, choice: choices.get(row.at) ?? unchanged(row) }));
    byId("matched").hidden = false;
    byId("unknown-only").checked = false;
    list();
    tell();
  }

  function list() {
    const only = byId("unknown-only").checked;
    fill(byId("matches"), byId("more-matches"), rows.filter(({ match }) => !only || !match.known), (row) => line(row, () => {
      choices.set(row.at, row.choice);
      tell();
    }));
  }

  function tell() {
    const known = rows.filter(({ match }) => match.known).length;
    const changed = rows.filter(wasChanged).length;
    byId("many-status").textContent = `${some(rows.length, "title")}${state.whole ? "" : " so far"}: ${count(known)} known, `
      + `${count(rows.length - known)} unknown${changed ? `, ${count(changed)} changed by you` : ""}.`
      + (state.truncated ? ` ${count(state.truncated)} longer than the model reads: matched by the beginning.` : "");
  }

  byId("unknown-only").addEventListener("change", list);
  byId("save").addEventListener("click", () => {
    const lines = [[...columns, ...ADDED], ...rows.map((row) => [...columns.map((_, at) => row.cells[at] ?? ""), ...added(row)])];
    save("matched.csv", write(lines, byId("mark").checked), "text/csv");
  });
  return { show, forget: () => choices.clear() };
}

const unchanged = ({ match }) => (match.known ? 0 : -1);
const wasChanged = (row) => row.choice !== unchanged(row);

/** The fields behind a title. A person's choice has no confidence: that is the first concept's. */
function added(row) {
  const { match, choice } = row;
  const chosen = match.concepts[choice];
  const found = chosen
    ? [chosen.concept, chosen.code, chosen.label, chosen.matched.text, chosen.matched.language, chosen.score.toFixed(4)]
    : [UNKNOWN, "", "", "", "", match.concepts.length ? match.concepts[0].score.toFixed(4) : ""];
  const others = match.concepts.filter((other) => other !== chosen).map(({ label }) => label).join(" | ");
  return [...found, wasChanged(row) ? "" : match.confidence.toFixed(4), others, wasChanged(row) ? "yes" : ""];
}

const named = ({ label, code }) => `${label} (${code})`;

function line(row, changed) {
  const { match } = row;
  const select = make("select", { "aria-label": `Concept of ${row.text || "the empty title"}` },
    make("option", { value: -1 }, match.concepts.length ? `${UNKNOWN} – or choose` : UNKNOWN),
    ...match.concepts.map((concept, at) => make("option", { value: at }, named(concept))));
  const [code, why, score, confidence] = [0, 1, 2, 3].map(() => make("span"));
  const mark = make("span", { class: "mark" });
  const line = make("tr", { role: "row" },
    make("th", { role: "rowheader", scope: "row", dir: "auto" }, row.text || "(empty)"),
    make("td", { role: "cell", class: "choice" }, select, mark),
    make("td", { role: "cell", class: "number", "data-name": "code" }, code),
    make("td", { role: "cell", "data-name": "matched label" }, why),
    make("td", { role: "cell", "data-name": "score" }, score),
    make("td", { role: "cell", class: "number", "data-name": "confidence" }, confidence));

  function draw() {
    const chosen = match.concepts[row.choice];
    const shown = chosen ?? match.concepts[0];
    select.value = row.choice;
    line.classList.toggle("unknown", !chosen);
    mark.textContent = wasChanged(row) ? "changed by you" : "";
    code.textContent = chosen?.code ?? "–";
    why.replaceChildren(...(shown ? [make("span", { dir: "auto", lang: shown.matched.language }, shown.matched.text),
      `, ${languageName(shown.matched.language)}`] : ["–"]));
    score.replaceChildren(shown ? scoreBar(shown.score) : "–");
    confidence.textContent = wasChanged(row) ? "–" : percent(match.confidence);
  }
  select.addEventListener("change", () => { row.choice = Number(select.value); draw(); changed(); });
  draw();
  return line;
}
