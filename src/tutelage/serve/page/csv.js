// Tables as text: RFC 4180, and what spreadsheets make of it.

/** Rows of fields; commas, semicolons or tabs between them, quotes and line breaks within. Blank lines are left out. */
export function parse(text) {
  const source = text.replace(/^\uFEFF/, "");
  const separator = separatorOf(source);
  const rows = [];
  let [row, field, quoted] = [[], "", false];
  const endRow = () => {
    row.push(field);
    if (row.length > 1 || field) rows.push(row);
    [row, field] = [[], ""];
  };
  for (let at = 0; at < source.length; at += 1) {
    const letter = source[at];
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (source[at + 1] === '"') field += source[(at += 1)];
      else quoted = false;
    } else if (letter === '"' && !field) quoted = true;
    else if (letter === separator) { row.push(field); field = ""; }
    else if (letter === "\n") endRow();
    else if (letter !== "\r") field += letter;
  }
  endRow();
  return rows;
}

/** The one of comma, semicolon and tab that the first line has most of. */
function separatorOf(source) {
  const first = source.slice(0, 10_000).replace(/"(""|[^"])*"/g, "").split("\n", 1)[0];
  const times = (letter) => first.split(letter).length;
  return [",", ";", "\t"].reduce((best, letter) => (times(letter) > times(best) ? letter : best));
}

/** Lines that end in CR LF; quotes only where they are needed. With `mark`, spreadsheets see that it is UTF-8. */
export function write(rows, mark = false) {
  const field = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return (mark ? "\uFEFF" : "") + rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

/** A file's text: UTF-8, or what older spreadsheets save in western Europe; `guessed` says that it was the latter. */
export async function read(file) {
  const bytes = await file.arrayBuffer();
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), guessed: false };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), guessed: true };
  }
}
