// Numbers and names as they are read.

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

export const count = (number) => number.toLocaleString("en");
export const percent = (share) => `${Math.round(100 * share)} %`;
export const some = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** "German" for "de"; a code that names no language stands for itself. */
export function languageName(code) {
  try {
    return names.of(code);
  } catch {
    return code;
  }
}
