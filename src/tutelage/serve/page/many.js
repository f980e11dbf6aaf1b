// Many titles: matched in chunks, with progress and a way to stop; then looked through, mended and saved.

import { ask } from "./ask.js";
import { byId, showTrouble } from "./dom.js";
import { makeFilter } from "./filter.js";
import { startMatched } from "./matched.js";
import { startTitles } from "./titles.js";
import { count, some } from "./words.js";

const CHUNK = 64; // titles of a request, where the server takes as many
const CONCEPTS = 5;

export function startMany({ index, max_texts: most }) {
  const size = Math.min(CHUNK, most);
  const [start, cancel, progress, told, status, trouble] =
    ["start", "cancel", "progress", "count", "many-status", "many-trouble"].map(byId);
  const matched = startMatched();
  const titles = startTitles(afresh);
  const filter = makeFilter(byId("many-filter"), index.languages, afresh);
  let answers = new Map(); // text -> match
  let truncated = 0;
  let running = null;

  // Other titles or another filter: what was answered before is no part of it.
  function afresh() {
    running?.abort();
    answers = new Map();
    truncated = 0;
    matched.forget();
    start.textContent = "Match";
  }

  async function run() {
    const table = titles();
    const texts = [...new Set(table.rows.map((row) => (row[table.column] ?? "").trim()).filter(Boolean))];
    trouble.replaceChildren();
    if (!texts.length) {
      status.textContent = "There is no title yet: paste some, one a line, or choose a CSV.";
      return;
    }
    const { signal } = (running = new AbortController());
    busy(true);
    status.textContent = `Matching ${some(texts.length, "title")}.`;
    try {
      await matchAll(texts, signal, answers, filter());
      status.textContent = "";
    } catch (fault) {
      if (!signal.aborted) showTrouble(trouble, fault, run);
      status.textContent = `Stopped after ${count(answers.size)} of ${some(texts.length, "title")}.`;
    }
    const whole = answers.size === texts.length;
    busy(false, whole || !answers.size ? "Match" : "Go on");
    if (answers.size) matched.show(table, answers, { whole, truncated });
  }

  async function matchAll(texts, signal, found, narrowed) {
    const open = texts.filter((text) => !found.has(text));
    const advance = () => {
      progress.value = found.size / texts.length;
      told.textContent = `${count(found.size)} of ${count(texts.length)}`;
    };
    advance();
    for (let from = 0; from < open.length; from += size) {
      const chunk = open.slice(from, from + size);
      const answer = await ask("v1/match", { texts: chunk, k: CONCEPTS, ...narrowed }, signal);
      signal.throwIfAborted();
      chunk.forEach((text, at) => found.set(text, answer.results[at]));
      truncated += answer.truncated;
      advance();
    }
  }

  function busy(now, next = "Match") {
    start.disabled = now;
    start.textContent = next;
    cancel.hidden = !now;
    progress.hidden = !now;
    if (!now) told.textContent = "";
    if (now) cancel.focus();
    else if (document.activeElement === document.body) start.focus();
  }

  byId("many-form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  cancel.addEventListener("click", () => running.abort());
}
