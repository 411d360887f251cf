// What can be asked of a job in each status, and what is asked before it is done.

import { call, once } from "./api.js";
import { h } from "./dom.js";

const OFFERED = {
  queued: ["pause", "cancel"],
  running: ["pause", "cancel"],
  pausing: ["cancel"],
  paused: ["resume", "cancel"],
  cancelling: [],
  succeeded: ["extend", "delete"],
  failed: ["retry", "delete"],
  cancelled: ["retry", "delete"],
};
const WORDS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Retry", extend: "Extend…", delete: "Delete" };
const ASKED = {
  cancel: [
    "Cancel this job?",
    "It stops at its next step and keeps a checkpoint. A cancelled job never goes on; it can be retried as a new one.",
    "Cancel the job",
  ],
  delete: ["Delete this job?", "Its numbers, its result and its checkpoints go with it, and cannot be brought back.", "Delete the job"],
};

/** The buttons of a job; `moved` gets the job as each deed leaves it. */
export function make(id, page, moved) {
  const buttons = Object.entries(WORDS).map(([deed, text]) =>
    h(
      "button",
      { type: "button", "data-deed": deed, class: deed in ASKED ? "danger" : "quiet", hidden: true, onclick: () => act(deed) },
      text,
    ),
  );
  const clone = h("a", { class: "button quiet", href: `#/new?from=${id}` }, "Clone…");
  const trouble = h("span", { class: "fault", role: "alert" });
  const node = h("div", { class: "row actions", role: "group", "aria-label": "What to do with this job" }, ...buttons, clone, trouble);
  let shown;
  return { node, update };

  function update(job) {
    shown = job;
    for (const button of buttons) {
      const offered = OFFERED[job.status]?.includes(button.dataset.deed) ?? false;
      // What has the focus would otherwise take it to nowhere.
      if (!offered && button === document.activeElement) clone.focus();
      button.hidden = !offered;
    }
  }

  async function act(deed) {
    trouble.replaceChildren();
    if (deed in ASKED && !(await page.sure(...ASKED[deed]))) return;
    const epochs = deed === "extend" ? await page.epochs(shown.spec.epochs) : null;
    if (deed === "extend" && !epochs) return;
    for (const button of buttons) button.disabled = true;
    try {
      if (deed === "delete") {
        await call("DELETE", `v1/jobs/${id}`);
        page.announce("The job is deleted.");
        location.hash = "#/";
        return;
      }
      const asked = epochs ? { json: { epochs }, headers: { "Idempotency-Key": once() } } : {};
      const job = await call("POST", `v1/jobs/${id}/${deed}`, asked);
      if (job.id !== id) location.hash = `#/jobs/${job.id}`;
      else moved(job);
      page.announce(`The job is ${job.status}.`);
    } catch (error) {
      trouble.replaceChildren(error.message);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }
}
