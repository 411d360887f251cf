// The list of jobs: filtered by status and by text, a page at a time, kept up to date while it is looked at.

import { call, pause, seen } from "./api.js";
import { h, say, setTime, table, when } from "./dom.js";
import { metric, ran, share, title } from "./format.js";

const LIMIT = 20;
const REFRESH = 2000;
const FILTERS = [
  ["", "all"],
  ["queued,running,pausing,paused,cancelling", "not ended"],
  ["running", "running"],
  ["queued", "queued"],
  ["paused", "paused"],
  ["succeeded", "succeeded"],
  ["failed", "failed"],
  ["cancelled", "cancelled"],
];

/** Show the list in `main` until `signal` is aborted. `page.ok()` and `page.failed(error)` hear how the API does. */
export async function show(main, query, { signal, page }) {
  const asked = { status: query.get("status") ?? "", q: query.get("q") ?? "" };
  const cursors = [];
  const status = h("select", { id: "status" }, ...FILTERS.map(([value, text]) => h("option", { value }, text)));
  status.value = asked.status;
  const search = h("input", { id: "q", type: "search", placeholder: "name or id", autocomplete: "off", spellcheck: "false" });
  search.value = asked.q;
  const body = h("tbody");
  const columns = [["Job"], ["Status"], ["Progress"], ["Newest numbers", "wide"], ["Submitted"], ["Ran", "number"]];
  const jobs = table("Jobs, newest first", columns, body, "stack");
  const empty = h("div", { class: "empty", hidden: true });
  const loading = h("p", { class: "soft" }, "Loading…");
  const newer = h("button", { type: "button", class: "quiet", disabled: true, onclick: () => turn(() => cursors.pop()) }, "← Newer");
  const older = h("button", { type: "button", class: "quiet", disabled: true, onclick: () => turn(() => cursors.push(next)) }, "Older →");
  const pages = h("nav", { class: "row end", "aria-label": "Pages of the list", hidden: true }, newer, older);
  jobs.hidden = true;
  let next = null,
    turned = new AbortController();
  const rows = new Map();

  main.replaceChildren(
    h("div", { class: "row between" }, h("h1", { tabindex: "-1" }, "Jobs"), h("a", { class: "button primary", href: "#/new" }, "New job")),
    h(
      "form",
      { class: "row filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "status" }, "Status"),
      status,
      h("label", { for: "q" }, "Search"),
      search,
    ),
    loading,
    jobs,
    empty,
    pages,
  );
  status.addEventListener("change", filter);
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(filter, 250);
  });

  function filter() {
    [asked.status, asked.q] = [status.value, search.value.trim()];
    cursors.length = 0;
    const kept = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    history.replaceState(null, "", `#/${kept.size ? `?${kept}` : ""}`);
    turn(() => {});
  }

  function turn(change) {
    change();
    turned.abort();
  }

  while (!signal.aborted) {
    turned = new AbortController();
    const both = AbortSignal.any([signal, turned.signal]);
    try {
      await seen(both);
      const list = await call("GET", `v1/jobs?${parameters(asked, cursors.at(-1))}`, { signal: both });
      next = list.next_cursor;
      fill(list.data);
      page.ok();
    } catch (error) {
      if (both.aborted) continue;
      page.failed(error);
    }
    await pause(REFRESH, both);
  }

  function fill(found) {
    for (const [id, row] of rows)
      if (!found.some((job) => job.id === id)) {
        row.node.remove();
        rows.delete(id);
      }
    found.forEach((job, index) => {
      if (!rows.has(job.id)) rows.set(job.id, line());
      const row = rows.get(job.id);
      row.update(job);
      if (body.children[index] !== row.node) body.insertBefore(row.node, body.children[index] ?? null);
    });
    [newer.disabled, older.disabled] = [cursors.length === 0, next === null];
    pages.hidden = newer.disabled && older.disabled;
    loading.hidden = true;
    jobs.hidden = found.length === 0;
    empty.hidden = found.length > 0;
    if (!found.length) nothing(empty, Boolean(asked.status || asked.q));
  }
}

/** The parameters of a page of the list. */
function parameters(asked, cursor) {
  const made = new URLSearchParams({ limit: String(LIMIT) });
  for (const status of asked.status.split(",").filter(Boolean)) made.append("status", status);
  if (asked.q) made.set("q", asked.q);
  if (cursor) made.set("cursor", cursor);
  return made;
}

function nothing(place, filtered) {
  const text = filtered
    ? "No job matches these filters."
    : "No jobs yet. The first one takes a minute: open “New job”, take the small example, submit.";
  if (place.firstChild?.textContent !== text)
    place.replaceChildren(h("p", {}, text), filtered ? "" : h("a", { class: "button primary", href: "#/new" }, "New job"));
}

/** A row that is written once and updated in place: what has the focus keeps it. */
function line() {
  const [link, id] = [h("a"), h("code", { class: "soft" })];
  const mark = badge();
  const [bar, done] = [h("progress", { max: "1" }), h("span", { class: "soft" })];
  const [numbers, at, took] = [h("td", { class: "wide" }), when(null), h("td", { class: "number", "data-label": "Ran" })];
  const node = h(
    "tr",
    {},
    h("th", { scope: "row" }, link, h("br"), id),
    h("td", {}, mark.node),
    h("td", { class: "progress" }, bar, done),
    numbers,
    h("td", {}, at),
    took,
  );
  return { node, update };

  function update(job) {
    say(link, job.name || "unnamed");
    link.href = `#/jobs/${job.id}`;
    say(id, job.id);
    mark.update(job.status);
    bar.value = job.progress.fraction;
    bar.setAttribute("aria-label", `progress of ${job.name || job.id}`);
    say(done, `epoch ${job.progress.epoch} of ${job.progress.epochs}, ${share(job.progress.fraction)}`);
    newest(numbers, job.latest_metrics);
    setTime(at, job.created_at);
    say(took, ran(job));
  }
}

/** A status as a word with a colour; the word alone says all. */
export function badge() {
  const node = h("span", { class: "badge" });
  return {
    node,
    update: (status) => {
      say(node, status);
      node.dataset.status = status;
    },
  };
}

function newest(place, metrics) {
  const names = ["val.accuracy", "val.loss", "train.loss"].filter((name) => name in metrics).slice(0, 2);
  const texts = names.length ? names.map((name) => `${title(name)} ${metric(name, metrics[name])}`) : ["–"];
  while (place.children.length < texts.length) place.append(h("span"));
  texts.forEach((text, index) => say(place.children[index], text));
}
