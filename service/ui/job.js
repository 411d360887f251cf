// A job's page: where it stands, live, what can be asked of it, its curves, its history, and once it has ended what it left.

import { Problem, call, frames, pause } from "./api.js";
import * as actions from "./actions.js";
import * as checkpoints from "./checkpoints.js";
import * as curves from "./curves.js";
import { h, say, setTime, when } from "./dom.js";
import { duration, metric, number, ran, share, title } from "./format.js";
import { badge } from "./list.js";
import * as results from "./results.js";

const TERMINAL = new Set(["succeeded", "failed", "cancelled"]);
const EVENTS = 200;

/** Show the job in `main` until `signal` is aborted, following its events. */
export async function show(main, id, { signal, page }) {
  const parts = {
    head: head(),
    tiles: tiles(),
    curves: curves.make(),
    results: results.make(page),
    checkpoints: checkpoints.make(page),
    history: events(),
    spec: spec(),
  };
  const buttons = actions.make(id, page, (job) => update(job));
  main.replaceChildren(
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Jobs"), " / ", h("code", {}, id)),
    parts.head.node,
  );
  let job = await first(id, signal, page);
  if (!job) return;
  const { head: _, ...below } = parts;
  main.append(buttons.node, ...Object.values(below).map((part) => part.node));
  let status = "";
  update(job);
  await Promise.all([parts.curves.refresh(job, signal), parts.checkpoints.refresh(job, signal)]).catch(page.failed);
  await parts.results.refresh(job, signal).catch(page.failed);
  const reread = later(
    async () => {
      job = await call("GET", `v1/jobs/${id}`, { signal });
      update(job);
      await Promise.all([parts.curves.refresh(job, signal), parts.checkpoints.refresh(job, signal)]);
    },
    700,
    signal,
    page,
  );

  // A job that has ended says all it has said and then no more; one that lives goes on.
  for await (const frame of frames(`v1/jobs/${id}/events`, {
    signal,
    onCut: () => page.failed(new Problem(0, { detail: "The live stream was cut. Connecting again…" })),
    onOpen: page.ok,
  })) {
    page.ok();
    if (frame.event === "metrics") {
      job = { ...job, status: frame.data.status, progress: frame.data.progress, latest_metrics: frame.data.latest_metrics };
      update(job);
      continue;
    }
    if (frame.event === "resync") {
      parts.history.clear(); // the service knows nothing of what we heard, and tells all of it again
      continue;
    }
    parts.history.add(frame.data);
    reread();
    if (frame.event === "status" && TERMINAL.has(frame.data.data.to)) break;
  }
  await reread.now();
  await parts.results.refresh(job, signal).catch(page.failed);

  function update(now) {
    job = now;
    document.title = `${job.name || job.id} · ${job.status} · Ridgeline`;
    parts.head.update(job);
    parts.tiles.update(job);
    parts.spec.update(job);
    buttons.update(job);
    if (status && status !== job.status) page.announce(`The job is ${job.status}.`);
    status = job.status;
  }
}

/** The job, asked for until the service answers; null where there is none. */
async function first(id, signal, page) {
  for (; !signal.aborted; await pause(2000, signal)) {
    try {
      const job = await call("GET", `v1/jobs/${id}`, { signal });
      page.ok();
      return job;
    } catch (error) {
      page.failed(error);
      if (error instanceof Problem && error.status < 500) return null;
    }
  }
  return null;
}

/** At most once in `gap` milliseconds, and once more at the end if it was asked for meanwhile. */
function later(act, gap, signal, page) {
  let [waiting, running] = [false, Promise.resolve()];
  const run = () => (running = running.then(act).catch((error) => signal.aborted || page.failed(error)));
  const made = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      if (!signal.aborted) run();
    }, gap);
  };
  made.now = run;
  return made;
}

function head() {
  const [name, mark, why] = [h("h1", { tabindex: "-1" }, "…"), badge(), h("span", { class: "soft" })];
  const [bar, done] = [h("progress", { max: "1", "aria-label": "Progress" }), h("span")];
  const [trouble, labels, parent] = [h("div", { class: "trouble", hidden: true }), h("p", { class: "labels" }), h("p", { class: "soft" })];
  const times = h("p", { class: "soft" });
  const [made, ended, took] = [when(null), when(null), h("span")];
  const end = h("span", { hidden: true }, " · ended ", ended);
  const began = h("span", { hidden: true }, " · ran ", took);
  times.append("submitted ", made, end, began);
  const node = h(
    "header",
    { class: "head" },
    h("div", { class: "row" }, name, mark.node, why),
    h("div", { class: "row" }, bar, done),
    times,
    parent,
    labels,
    trouble,
  );
  return { node, update };

  function update(job) {
    say(name, job.name || "Unnamed job");
    mark.update(job.status);
    say(why, job.error ? "" : (job.status_reason ?? "")); // what went wrong is told below, with the remedy
    bar.value = job.progress.fraction;
    const rest = job.progress.seconds_remaining;
    say(
      done,
      `epoch ${job.progress.epoch} of ${job.progress.epochs} · ${share(job.progress.fraction)}${job.status === "running" && rest !== null ? ` · about ${duration(rest)} left` : ""}`,
    );
    setTime(made, job.created_at);
    [end.hidden, began.hidden] = [!job.finished_at, !job.started_at];
    setTime(ended, job.finished_at);
    say(took, ran(job) + (job.attempt > 1 ? ` · attempt ${job.attempt}` : ""));
    said(parent, job);
    labels.replaceChildren(...Object.entries(job.metadata).map(([key, value]) => h("span", { class: "label" }, `${key}: ${value}`)));
    troubles(trouble, job);
  }
}

function said(place, job) {
  const queued = job.queue && `place ${job.queue.position} in the queue${job.queue.waits_for ? `, waits for ${job.queue.waits_for}` : ""}`;
  const parent = job.parent && [`${job.parent.relation} of `, h("a", { href: `#/jobs/${job.parent.job_id}` }, job.parent.job_id)];
  place.replaceChildren(...[parent, parent && queued ? [" · "] : null, queued ? [queued] : null].filter(Boolean).flat());
}

function troubles(place, job) {
  place.hidden = !job.error;
  if (!job.error) return;
  place.replaceChildren(h("strong", {}, job.error.code), ` ${job.error.message}`, h("br"), `What to do: ${job.error.hint}`);
}

/** The newest numbers, one tile each. */
function tiles() {
  const node = h("dl", { class: "tiles", "aria-label": "Newest numbers" });
  const SHOWN = ["train.loss", "train.penalty", "val.loss", "val.accuracy", "weights.zeros", "lr", "samples_per_second"];
  const cells = new Map();
  return { node, update };

  function update(job) {
    for (const name of SHOWN.filter((one) => one in job.latest_metrics)) {
      if (!cells.has(name)) {
        const [cell, before] = [h("dd"), SHOWN.slice(0, SHOWN.indexOf(name)).filter((one) => cells.has(one)).length];
        node.insertBefore(h("div", {}, h("dt", {}, title(name)), cell), node.children[before] ?? null);
        cells.set(name, cell);
      }
      const value = job.latest_metrics[name];
      say(cells.get(name), name === "samples_per_second" && typeof value === "number" ? number(Math.round(value)) : metric(name, value));
    }
  }
}

/** What the job has said, the newest on top. */
function events() {
  const list = h("ol", { class: "history", reversed: "" });
  const count = h("span", { class: "soft" });
  const node = h("details", { class: "card" }, h("summary", {}, h("h2", {}, "History"), count), list);
  let heard = 0;
  return { node, add, clear };

  function clear() {
    heard = 0;
    list.replaceChildren();
  }

  function add(event) {
    heard++;
    say(count, `${number(heard)} events`);
    list.prepend(
      h("li", { "data-level": event.level }, when(event.at), h("span", { class: "soft" }, event.type), h("span", {}, event.message)),
    );
    if (list.children.length > EVENTS) list.lastChild.remove();
  }
}

function spec() {
  const [text, copied] = [h("pre", { tabindex: "0" }), h("button", { type: "button", class: "quiet" }, "Copy")];
  copied.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(text.textContent).then(
      () => say(copied, "Copied"),
      () => say(copied, "Select and copy by hand"),
    );
  });
  const node = h("details", { class: "card" }, h("summary", {}, h("h2", {}, "Spec")), copied, text);
  return { node, update: (job) => say(text, JSON.stringify(job.spec, null, 2)) };
}
