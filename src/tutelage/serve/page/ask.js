// Questions to the server that this page came from: with its key, patient while it is busy, and its refusals in words.

import { byId } from "./dom.js";
import { keep, kept } from "./kept.js";

const PATIENCE = 5; // times a busy server is asked again
const LONGEST_WAIT_S = 30;
const CURES = {
  413: "Send fewer or shorter titles.",
  429: "The server has more to do than it can take. Try again in a moment.",
  500: "The fault is the server's; its log says more.",
  503: "The server is starting or shutting down. Try again in a moment.",
};

/** A question that was not answered; its message is for the reader. */
export class Refusal extends Error {}

let key = kept("key", "sessionStorage") ?? "";
let asking = null;

/**
 * The answer to GET `path`, or to POST `path` with a body; `truncated` in it counts the texts that were longer than the
 * model reads. Throws Refusal, or AbortError once `signal` says so.
 */
export async function ask(path, body, signal) {
  for (let tries = 0; ; ) {
    const used = key;
    const answer = await send(path, body, signal, used);
    if (answer.ok) return { ...(await answer.json()), truncated: Number(answer.headers.get("x-tutelage-truncated")) };
    if (answer.status === 401) await newKey(used);
    else if (answer.status === 429 && tries < PATIENCE) {
      tries += 1;
      await wait(Number(answer.headers.get("Retry-After")) || tries, signal);
    } else throw new Refusal(await wordsOf(answer));
    signal?.throwIfAborted();
  }
}

async function send(path, body, signal, used) {
  const headers = used ? { Authorization: `Bearer ${used}` } : {};
  const options = body
    ? { method: "POST", body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } }
    : { headers };
  try {
    return await fetch(path, { ...options, signal });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Refusal("The server does not answer. It may have been stopped, or the way to it is cut. "
      + "What you typed is still here.");
  }
}

async function wordsOf(answer) {
  const said = await answer.json().then((found) => found?.error?.message, () => null);
  return `${(said ?? "The server refused").replace(/\.$/, "")} (${answer.status}). ${CURES[answer.status] ?? ""}`.trim();
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * Math.min(seconds, LONGEST_WAIT_S));
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

// Questions that are refused together share one dialog; one that was sent with an older key just tries the newer.
async function newKey(refused) {
  if (refused !== key) return;
  asking ??= askForKey(refused !== "").finally(() => { asking = null; });
  await asking;
}

function askForKey(again) {
  const dialog = byId("key");
  byId("key-words").textContent = again
    ? "The server does not take this key. Type it anew."
    : "It is the one that the server was started with. It is sent to this server only.";
  byId("key-text").value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      const typed = byId("key-text").value.trim();
      if (/[^ -~]/.test(typed)) { // no header holds it: fetch would fail as if the server were gone
        byId("key-words").textContent = "A key has only letters without accents, digits and signs. Type it anew.";
        return;
      }
      key = typed;
      keep("key", byId("key-keep").checked ? key : null, "sessionStorage");
      dialog.onclose = null;
      dialog.close();
      resolve();
    };
    dialog.onclose = () => reject(new Refusal("Without its key the server answers nothing."));
    byId("key-cancel").onclick = () => dialog.close();
  });
}
