// One title: its concepts as it is typed, walked by the arrow keys.

import { ask } from "./ask.js";
import { byId, make, scoreBar, showTrouble } from "./dom.js";
import { makeFilter } from "./filter.js";
import { languageName, percent, some } from "./words.js";

const DEBOUNCE_MS = 250;
const SLOW_MS = 1500;
const RESULTS = 10;
const PAIRS = 3; // learned, nearest to the title

export function startSearch({ index, threshold, calibrated }) {
  const [form, query, results, status, trouble] =
    ["search-form", "query", "results", "search-status", "search-trouble"].map(byId);
  let running = new AbortController();
  let timer;

  // An older question is abandoned: its answer, should it still come, is dropped. None is asked under a filter
  // that cannot be read: it would be searched for everywhere.
  async function search() {
    if (!form.checkValidity()) return;
    const { signal } = stop();
    const text = query.value.trim();
    trouble.replaceChildren();
    if (!text) return clear();
    results.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => { status.textContent = "The server is slow; still waiting for it."; }, SLOW_MS);
    try {
      const answer = await ask("v1/match", { texts: [text], k: RESULTS, learned: PAIRS, ...filter() }, signal);
      if (!signal.aborted) show(answer.results[0], { threshold, calibrated }, answer.truncated);
    } catch (fault) {
      if (signal.aborted) return;
      clear();
      showTrouble(trouble, fault, search);
    } finally {
      clearTimeout(slow);
      if (!signal.aborted) results.removeAttribute("aria-busy");
    }
  }

  function stop() {
    clearTimeout(timer);
    running.abort();
    running = new AbortController();
    return running;
  }

  function clear() {
    results.replaceChildren();
    results.removeAttribute("aria-busy");
    byId("learned").hidden = true;
    status.textContent = "";
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(search, DEBOUNCE_MS);
  }

  const filter = makeFilter(byId("search-filter"), index.languages, later);
  query.addEventListener("input", (event) => { if (!event.isComposing) later(); });
  query.addEventListener("compositionend", later);
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  byId("panel-search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      stop();
      query.value = "";
      trouble.replaceChildren();
      clear();
      query.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") walk(event, query, results);
  });
  query.focus();
  if (query.value) search(); // typed before the server had told what it holds
}

/** From the box to the first result, from result to result, and from the first back to the box. */
function walk(event, query, results) {
  const here = event.target.closest("#results > li");
  if (!here && event.target !== query) return;
  const next = event.key === "ArrowDown"
    ? (here ? here.nextElementSibling : results.firstElementChild)
    : here && (here.previousElementSibling ?? query);
  event.preventDefault();
  next?.focus();
}

function show({ known, confidence, concepts, learned }, { threshold, calibrated }, truncated) {
  byId("results").replaceChildren(...concepts.map(result));
  byId("learned").hidden = !learned.length;
  byId("pairs").replaceChildren(...learned.map(pair));
  const status = byId("search-status");
  if (!concepts.length) {
    status.textContent = "Nothing found among these languages and groups. Choose more of them, or none for all.";
    return;
  }
  const verdict = known
    ? make("span", { class: "believed" }, calibrated
      ? `✓ The first is right with a confidence of ${percent(confidence)}.`
      : `✓ The first scores ${percent(confidence)}. This index has too few labels to say how often that is right.`)
    : make("span", { class: "unsure" }, `? Unknown: a ${calibrated ? "confidence" : "score"} of ${percent(confidence)}`
      + `${threshold === null ? "" : `, under ${percent(threshold)}`}. These are suggestions.`);
  status.replaceChildren(some(concepts.length, "concept"), ". ", verdict,
    truncated ? " The title is longer than the model reads: its beginning was searched for." : "");
}

function result(hit) {
  const copy = make("button", { type: "button", class: "small", "aria-label": `Copy code ${hit.code}` }, "Copy code");
  copy.addEventListener("click", () => copyCode(copy, hit.code));
  return make("li", { tabindex: "-1" },
    make("span", { class: "label", dir: "auto", lang: hit.matched.language }, hit.label),
    make("span", { class: "code" }, make("span", { class: "number" }, hit.code), copy),
    scoreBar(hit.score),
    make("p", { class: "why" }, "matched ", make("q", { lang: hit.matched.language, dir: "auto" }, hit.matched.text),
      `, ${languageName(hit.matched.language)}${hit.group && ` · ISCO\u00a0${hit.group}`}`),
    make("p", { class: "uri" }, hit.concept));
}

function pair({ anchor, positive, score }) {
  return make("li", {}, make("q", { dir: "auto" }, anchor), " means ", make("q", { dir: "auto" }, positive),
    " ", make("span", { class: "number" }, score.toFixed(2)));
}

// A browser lets pages write to the clipboard only over https or on this machine.
async function copyCode(button, code) {
  try {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected: Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy code"; }, 2000);
}
