// What a search is narrowed to: languages of the labels, and ISCO groups by their first digits.

import { make } from "./dom.js";
import { count, languageName } from "./words.js";

/**
 * Puts the controls into `host`, which stands in a form, and gives a function that reads them:
 * `{languages, groups}`, where nothing chosen means all. `changed` is called after each change; the form's
 * validity says whether it reads well.
 */
export function makeFilter(host, languages, changed = () => {}) {
  const boxes = Object.entries(languages).map(([code, labels]) => {
    const box = make("input", { type: "checkbox", value: code });
    return { box, label: make("label", { class: "check" }, box, make("span", {}, `${languageName(code)} `,
      make("span", { class: "note" }, count(labels)))) };
  });
  const isco = make("input", { type: "text", inputmode: "numeric", autocomplete: "off", placeholder: "all, or e.g. 25, 2221",
    pattern: String.raw`[\s,]*(\d{1,4}([\s,]+|$))*`, title: "One to four digits; several with a comma between" });
  host.replaceChildren(
    make("fieldset", {}, make("legend", {}, "Labels in (none chosen: all)"),
      make("div", { class: "choices" }, ...boxes.map(({ label }) => label))),
    make("label", {}, "ISCO groups that begin with ", isco));
  host.addEventListener("input", changed);
  return () => ({
    languages: boxes.filter(({ box }) => box.checked).map(({ box }) => box.value),
    groups: isco.value.match(/\d+/g) ?? [],
  });
}
