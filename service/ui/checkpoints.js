// The checkpoints of a job, to be downloaded.

import { blob, call, key } from "./api.js";
import { h, say, table, when } from "./dom.js";
import { bytes, metric, number } from "./format.js";

/** The table of a job's checkpoints. */
export function make(page) {
  const body = h("tbody");
  const columns = [["Checkpoint"], ["Epoch", "number"], ["Step", "number"], ["Validation loss", "number"], ["Written"], ["Files"]];
  const empty = h("p", { class: "soft", hidden: true });
  const scroll = table("Checkpoints, newest first", columns, body, "stack");
  const node = h("section", { class: "card" }, h("h2", {}, "Checkpoints"), empty, scroll);
  let shown = "";
  return { node, refresh };

  async function refresh(job, signal) {
    const found = (await call("GET", `v1/jobs/${job.id}/checkpoints`, { signal })).data;
    empty.hidden = found.length > 0;
    say(empty, job.finished_at ? "None is kept." : "None yet.");
    scroll.hidden = found.length === 0;
    const now = JSON.stringify(found);
    // Written anew only where something changed and nobody is on a link of it just now.
    if (now === shown || body.contains(document.activeElement)) return;
    shown = now;
    body.replaceChildren(...found.map((checkpoint) => row(checkpoint, page)));
  }
}

function row(checkpoint, page) {
  const names = [...checkpoint.aliases, ...(checkpoint.pinned ? ["pinned"] : [])].map((name) => h("span", { class: "label" }, name));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("code", {}, checkpoint.id), " ", ...names),
    h("td", { class: "number", "data-label": "Epoch" }, number(checkpoint.epoch)),
    h("td", { class: "number", "data-label": "Step" }, number(checkpoint.step)),
    h("td", { class: "number", "data-label": "Validation loss" }, metric("val.loss", checkpoint.metrics["val.loss"])),
    h("td", { "data-label": "Written" }, when(checkpoint.created_at)),
    h(
      "td",
      {},
      h(
        "ul",
        { class: "files" },
        ...checkpoint.files.map((file) => h("li", {}, link(checkpoint, file, page), ` ${bytes(file.size_bytes)}`)),
      ),
    ),
  );
}

/** A plain link, which the browser can resume; with an API key the bytes are fetched first, as a link cannot send it. */
function link(checkpoint, file, page) {
  const href = file.href.replace(/^\//, "");
  const name = `${checkpoint.id}-${file.name}`;
  return h(
    "a",
    {
      href,
      download: name,
      title: `SHA-256 ${file.sha256}`,
      "aria-label": `Download ${file.name} of ${checkpoint.id}`,
      onclick: (event) => key.get() && save(event),
    },
    file.name,
  );

  async function save(event) {
    event.preventDefault();
    try {
      const source = URL.createObjectURL(await blob(href));
      h("a", { href: source, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(source), 60_000);
    } catch (error) {
      page.failed(error);
    }
  }
}
