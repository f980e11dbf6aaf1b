// A run's worst queries, judged by a person: what was right beside what was found, tags and a note that stay here.

import { ask } from "./ask.js";
import { write } from "./csv.js";
import { byId, fill, make, save, showTrouble } from "./dom.js";
import { keep, kept } from "./kept.js";
import { some } from "./words.js";

const TAGS = ["gold incomplete", "model wrong", "ambiguous", "data error"];
const SHOWN = 20;
const [RIGHT, WRONG, FOUND, MISSED] = [["right", "✓"], ["wrong", "✗"], ["found", "✓"], ["missed", "–"]];

export async function startWorst(about) {
  const intro = byId("errors-intro");
  if (!about.report) {
    intro.textContent = "This server was given no report. Start it with --report runs/NAME/report.json to see the worst "
      + "queries of that run here.";
    return;
  }
  try {
    judge(await ask("v1/worst"));
  } catch (fault) {
    showTrouble(byId("errors-trouble"), fault, () => startWorst(about));
  }
}

function judge({ name, sets }) {
  const rows = Object.entries(sets).flatMap(([set, { metric, queries }]) =>
    queries.map((row) => ({ ...row, set, metric })));
  const judgements = JSON.parse(kept(`judged.${name}`) ?? "{}"); // "set\tquery" -> {tags, note}
  const idOf = (row) => `${row.set}\t${row.query}`;
  const ofRow = (row) => judgements[idOf(row)] ?? { tags: [], note: "" };
  const isJudged = (row) => idOf(row) in judgements;

  function change(row, judgement) {
    if (judgement.tags.length || judgement.note) judgements[idOf(row)] = judgement;
    else delete judgements[idOf(row)];
    tell(keep(`judged.${name}`, JSON.stringify(judgements)));
  }

  function tell(isKept = true) {
    byId("judged-count").textContent = `${rows.filter(isJudged).length} of ${some(rows.length, "query", "queries")} judged.`
      + (isKept ? "" : " This browser keeps nothing: save before you leave.");
  }

  function list() {
    const [set, judged] = [byId("set").value, byId("judged").value];
    const wanted = rows.filter((row) => (!set || row.set === set) && (!judged || isJudged(row) === (judged === "yes")));
    fill(byId("worst"), byId("more-worst"), wanted, (row) => card(row, ofRow(row), (judgement) => change(row, judgement)), SHOWN);
  }

  const exported = () => rows.filter(isJudged).map((row) => ({ run: name, ...row, ...ofRow(row) }));
  byId("errors-intro").textContent = `Worst queries of ${name}: what was right beside what the model found first. `
    + "Tags and notes stay in this browser; save them to keep them.";
  byId("set").replaceChildren(make("option", { value: "" }, "all sets"), ...Object.keys(sets).map((set) => make("option", {}, set)));
  for (const choice of ["set", "judged"]) byId(choice).addEventListener("change", list);
  byId("save-jsonl").addEventListener("click", () =>
    save("judged.jsonl", exported().map((row) => `${JSON.stringify(row)}\n`).join(""), "application/jsonl"));
  byId("save-csv").addEventListener("click", () => save("judged.csv", write(asTable(exported())), "text/csv"));
  byId("judging").hidden = false;
  list();
  tell();
}

/** Rows under headings; lists joined by " | ". */
function asTable(rows) {
  return [
    ["run", "set", "query", "metric", "value", "gold", "predicted", "tags", "note"],
    ...rows.map((row) => [row.run, row.set, row.query, row.metric, row.value, row.gold.join(" | "),
      row.predicted.map(([text]) => text).join(" | "), row.tags.join(" | "), row.note]),
  ];
}

function card(row, judgement, changed) {
  const gold = new Set(row.gold);
  const found = new Set(row.predicted.map(([text]) => text));
  return make("li", {},
    make("h2", {}, make("span", { dir: "auto" }, row.query),
      make("span", { class: "number" }, `${row.set} · ${row.metric} ${row.value.toFixed(3)}`)),
    make("div", { class: "sides" },
      side("Right", row.gold.map((text) => entry(text, found.has(text) ? FOUND : MISSED))),
      side("Found first", row.predicted.map(([text, score]) =>
        entry(text, gold.has(text) ? RIGHT : WRONG, score.toFixed(2))))),
    verdict(row, judgement, changed));
}

const side = (title, entries) => make("div", {}, make("h3", {}, title), make("ul", {}, ...entries));

function entry(text, [kind, sign], number = "") {
  return make("li", { class: kind },
    make("span", { class: "sign", "aria-hidden": "true" }, sign),
    make("span", { class: "grow" }, make("bdi", {}, text), make("span", { class: "hidden" }, `, ${kind}`)),
    make("span", { class: "number" }, number));
}

function verdict(row, judgement, changed) {
  const boxes = TAGS.map((tag) => make("input", { type: "checkbox", value: tag, checked: judgement.tags.includes(tag) }));
  const own = make("input", { type: "text", autocomplete: "off", placeholder: "with commas between",
    value: judgement.tags.filter((tag) => !TAGS.includes(tag)).join(", ") });
  const note = make("input", { type: "text", autocomplete: "off", value: judgement.note });
  const group = make("div", { class: "row judge", role: "group", "aria-label": `Judgement of ${row.query}` },
    ...boxes.map((box) => make("label", { class: "check" }, box, box.value)),
    make("label", {}, "Other tags ", own), make("label", {}, "Note ", note));
  group.addEventListener("input", () => {
    const others = own.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    changed({ tags: [...boxes.filter((box) => box.checked).map((box) => box.value), ...others], note: note.value.trim() });
  });
  return group;
}
