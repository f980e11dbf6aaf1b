// Elements, made of names, attributes and texts: nothing that was typed or answered is ever read as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes (false and null leave one out) and children, texts or elements. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A bar with its number beside it; the number is what is read. */
export function scoreBar(score) {
  const filled = make("span");
  filled.style.width = `${100 * Math.min(Math.max(score, 0), 1)}%`;
  return make("div", { class: "score" }, make("span", { class: "bar", "aria-hidden": "true" }, filled),
    make("span", { class: "number" }, score.toFixed(2)));
}

/** Fills `host` with the first `step` items, and with more at each press of the button `more`. */
export function fill(host, more, items, row, step = 100) {
  const add = (from) => {
    const shown = Math.min(from + step, items.length);
    host.append(...items.slice(from, shown).map(row));
    more.hidden = shown === items.length;
    more.textContent = `Show ${Math.min(step, items.length - shown)} more of ${items.length - shown}`;
    more.onclick = () => {
      add(shown);
      host.children[shown].querySelector("input, select, button")?.focus();
    };
  };
  host.replaceChildren();
  add(0);
}

/** Says in `host` what went wrong and what helps; with `again`, a button that tries it again. */
export function showTrouble(host, fault, again) {
  const words = make("p", { class: "warning", role: "alert" }, make("span", {}, fault.message));
  if (again) {
    const button = make("button", { type: "button" }, "Try again");
    button.addEventListener("click", () => { host.replaceChildren(); again(); });
    words.append(button);
  }
  host.replaceChildren(words);
}

/** Has the browser save a text as a file. */
export function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
