// The page's start: its colours, its tabs, and what the server says of itself.

import { ask } from "./ask.js";
import { byId, showTrouble } from "./dom.js";
import { keep, kept } from "./kept.js";
import { startMany } from "./many.js";
import { startSearch } from "./search.js";
import { some } from "./words.js";
import { startWorst } from "./worst.js";

const TABS = ["search", "many", "errors"];
const NO_INDEX = new Error("This server has a model but no index to search. Make one with “tutelage index MODEL LABELS DIR” "
  + "and start the server with --index DIR.");

function startColours() {
  const choice = byId("colours");
  const apply = () => { document.documentElement.dataset.colours = choice.value; };
  choice.value = kept("colours") ?? "";
  choice.addEventListener("change", () => { apply(); keep("colours", choice.value); });
  apply();
}

// The hash names the tab, so that a tab can be linked to and the way back leads through them.
function startTabs() {
  const open = () => {
    const wanted = TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : TABS[0];
    for (const name of TABS) {
      byId(`panel-${name}`).hidden = name !== wanted;
      byId(`tab-${name}`).setAttribute("aria-selected", name === wanted);
      byId(`tab-${name}`).tabIndex = name === wanted ? 0 : -1;
    }
    document.title = `${byId(`tab-${wanted}`).textContent} · tutelage`;
  };
  addEventListener("hashchange", open);
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.findIndex((name) => event.target.id === `tab-${name}`);
    const next = byId(`tab-${TABS.at((at + step) % TABS.length)}`);
    next.focus();
    next.click();
  });
  open();
}

function describe({ model, dim, index }) {
  byId("model").textContent = model;
  byId("facts").textContent = index
    ? `${some(index.concepts, "concept")}, ${some(index.entries, "label")} in `
      + `${some(Object.keys(index.languages).length, "language")}; ${index.kind} index, version ${index.version}.`
    : `Vectors of ${dim} dimensions; no index.`;
}

async function start() {
  let about;
  try {
    about = await ask("v1/about");
  } catch (fault) {
    byId("facts").textContent = "";
    showTrouble(byId("trouble"), fault, start);
    return;
  }
  describe(about);
  if (about.index) {
    startSearch(about);
    startMany(about);
  } else {
    for (const name of ["search", "many"]) showTrouble(byId(`panel-${name}`), NO_INDEX);
  }
  await startWorst(about);
}

addEventListener("submit", (event) => event.preventDefault()); // no form leaves the page, not even one sent too early
startColours();
startTabs();
start();
