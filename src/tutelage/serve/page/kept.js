// What stays in this browser. Where it may not (private windows, blocked storage) the page works on without.

export function kept(name, store = "localStorage") {
  try {
    return window[store].getItem(`tutelage.${name}`);
  } catch {
    return null;
  }
}

/** Whether it could be kept; null forgets. */
export function keep(name, text, store = "localStorage") {
  try {
    if (text === null) window[store].removeItem(`tutelage.${name}`);
    else window[store].setItem(`tutelage.${name}`, text);
    return true;
  } catch {
    return false;
  }
}
