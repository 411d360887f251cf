// The dashboard's frame: which page the address asks for, the theme, the API key, and what is said when the API is away.

import { Away, Problem, call, key, pause, seen } from "./api.js";
import { h, say, tick } from "./dom.js";
import * as editor from "./editor.js";
import * as job from "./job.js";
import * as list from "./list.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const THEMES = ["auto", "light", "dark"];
let leaving = new AbortController();

/**
 * What every page may use: `ok` and `failed` for the banner, `announce` for screen readers, `sure` to ask before what cannot be undone,
 * `epochs` to ask for how much longer.
 */
const page = { ok, failed, announce, sure, epochs };

/** Show what the address asks for; after a move within the page the focus goes to the new heading. */
function route({ moved = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parameters = new URLSearchParams(query);
  const [, id] = /^\/jobs\/(job_[0-9a-z]+)$/.exec(path) ?? [];
  const [view, shown, title] = id ? [job, "job", "Job"] : path === "/new" ? [editor, "new", "New job"] : [list, "list", "Jobs"];
  for (const link of document.querySelectorAll("[data-page]")) link.toggleAttribute("aria-current", link.dataset.page === shown);
  document.title = `${title} · Ridgeline`;
  view.show(main, id ?? parameters, { signal: leaving.signal, page }).catch((error) => error.name === "AbortError" || failed(error));
  if (moved) main.querySelector("h1")?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function ok() {
  if (banner.hidden) return;
  banner.hidden = true;
  announce("The service answers again.");
}

function failed(error) {
  if (error.name === "AbortError") return;
  const refused = error instanceof Problem && (error.status === 401 || error.status === 403);
  const text = refused
    ? `${error.message}. `
    : error instanceof Away
      ? `Cannot reach the service: ${error.message}. Trying again…`
      : error.message;
  if (banner.dataset.text !== text) {
    banner.dataset.text = text;
    banner.replaceChildren(text, refused ? h("button", { type: "button", class: "quiet", onclick: askForKey }, "Enter an API key") : "");
  }
  banner.hidden = false;
  if (!(error instanceof Problem || error instanceof Away)) console.error(error);
}

function announce(text) {
  say(document.getElementById("said"), text);
}

/** Ask before what cannot be undone. */
function sure(title, text, yes) {
  say(document.getElementById("sure-title"), title);
  say(document.getElementById("sure-text"), text);
  say(document.getElementById("sure-yes"), yes);
  return asked("sure");
}

/** For how many epochs more; 0 where nobody wants that. `most` is what stands there to begin with. */
async function epochs(most) {
  const field = document.getElementById("extend-epochs");
  field.value = most;
  return (await asked("extend")) ? field.valueAsNumber : 0;
}

/** Whether a dialog was closed by its button of value `yes`. */
function asked(id) {
  const dialog = document.getElementById(id);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function askForKey() {
  const [dialog, field] = [document.getElementById("key-dialog"), document.getElementById("key-field")];
  field.value = key.get();
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue === "keep") key.set(field.value.trim());
      else if (dialog.returnValue === "forget") key.set("");
      else return;
      field.value = "";
      banner.hidden = true;
      showKey();
      route();
    },
    { once: true },
  );
}

function showKey() {
  say(document.getElementById("key"), key.get() ? "API key ✓" : "API key");
}

function setTheme(theme) {
  localStorage.setItem("ridgeline-theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  say(button, `Theme: ${theme}`);
  dispatchEvent(new Event("themechange"));
}

/** Whether jobs would be trained, for as long as the page is open. */
async function watchService() {
  const place = document.getElementById("service");
  for (;;) {
    await seen();
    const [state, text] = await readiness();
    place.dataset.state = state;
    say(place, text);
    await pause(10_000);
  }
}

/** Keeps the times on the page true while they can be seen. */
async function watchClock() {
  for (;;) {
    await seen();
    tick();
    await pause(1000);
  }
}

async function readiness() {
  try {
    const ready = await call("GET", "readyz").catch((error) => {
      if (error instanceof Problem && error.body?.checks) return error.body;
      throw error;
    });
    const missing = ready.checks.filter((check) => !check.ok).map((check) => check.name);
    const workers = ready.checks.find((check) => check.name === "workers");
    if (ready.status === "ok") return ["ok", `ready · workers: ${workers?.detail ?? "?"}`];
    return [ready.status, `${ready.status} · ${missing.join(", ")}`];
  } catch {
    return ["unavailable", "no answer"];
  }
}

document.getElementById("key").addEventListener("click", askForKey);
// The Enter key presses a form's first button of type submit, so the only one of a dialog is the one that says yes.
for (const button of document.querySelectorAll("dialog button[type=button]"))
  button.addEventListener("click", () => button.closest("dialog").close(button.value));
document.getElementById("theme").addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => route());
setTheme(THEMES.includes(localStorage.getItem("ridgeline-theme")) ? localStorage.getItem("ridgeline-theme") : "auto");
showKey();
watchService();
watchClock();
route({ moved: false });
