// A spec to be written or changed: checked by the service while it is typed, its faults shown where they are, submitted once.

import { Away, Problem, call, once } from "./api.js";
import { h } from "./dom.js";
import { bytes, duration, number } from "./format.js";
import { locate } from "./pointer.js";

const EXAMPLES = {
  "Small: made-up images, some seconds": {
    name: "first-job",
    dataset: { kind: "fake", train_rows: 2000, test_rows: 400, height: 16, width: 16 },
    model: { kind: "cnn", channels: [8], hidden: [32] },
    optimizer: { kind: "adam", lr: 0.001 },
    penalties: [
      { kind: "l1", lambda: 1e-4 },
      { kind: "l2", lambda: 5e-4 },
    ],
    epochs: 8,
  },
  "Tutorial: Fashion-MNIST, some minutes": {
    name: "fashion-l2",
    dataset: { kind: "builtin", name: "fashion_mnist" },
    model: { kind: "tutorial_cnn" },
    optimizer: { kind: "adam", lr: 0.001 },
    penalties: [{ kind: "l2", lambda: 5e-4 }],
    epochs: 10,
  },
};

/** Show the editor in `main`; `from` in the query names a job whose spec it begins with. */
export async function show(main, query, { signal, page }) {
  const from = /^job_[0-9a-z]+$/.test(query.get("from") ?? "") ? query.get("from") : null;
  const text = h("textarea", { id: "spec", spellcheck: "false", autocomplete: "off", rows: "24", "aria-describedby": "verdict" });
  const verdict = h("div", { id: "verdict", class: "verdict", role: "status", "aria-live": "polite" });
  const submit = h("button", { type: "submit", class: "primary" }, "Submit");
  const pick = h("select", { id: "example" }, ...Object.keys(EXAMPLES).map((name) => h("option", {}, name)));
  const form = h(
    "form",
    { class: "editor" },
    h("div", {}, h("label", { for: "spec" }, "Spec (JSON)"), text),
    h(
      "div",
      { class: "side" },
      verdict,
      h(
        "div",
        { class: "row" },
        submit,
        h("button", { type: "button", class: "quiet", onclick: () => check() }, "Check"),
        h("button", { type: "button", class: "quiet", onclick: tidy }, "Tidy up"),
      ),
      h(
        "p",
        { class: "soft" },
        "What is left out has a default; the check shows them all. ",
        h("a", { href: "docs" }, "Every kind and field"),
      ),
    ),
  );
  main.replaceChildren(
    h("h1", { tabindex: "-1" }, from ? "Clone a job" : "New job"),
    from
      ? h(
          "p",
          { class: "soft" },
          "A new job from the spec of ",
          h("a", { href: `#/jobs/${from}` }, from),
          ". The first one stays as it is.",
        )
      : h("div", { class: "row" }, h("label", { for: "example" }, "Begin with"), pick),
    form,
  );
  let [key, asked, typing] = [once(), 0, 0];

  pick.addEventListener("change", () => begin(EXAMPLES[pick.value]));
  text.addEventListener("input", () => {
    key = once(); // another spec is another job
    clearTimeout(typing);
    typing = setTimeout(check, 500);
  });
  form.addEventListener("submit", send);
  begin(from ? cloned(await call("GET", `v1/jobs/${from}`, { signal })) : EXAMPLES[pick.value]);

  function begin(spec) {
    text.value = JSON.stringify(spec, null, 2);
    key = once();
    check();
  }

  function tidy() {
    try {
      text.value = JSON.stringify(JSON.parse(text.value), null, 2);
    } catch {
      /* the check tells what is wrong with it */
    }
    check();
  }

  async function check() {
    const mine = ++asked;
    try {
      const found = await call("POST", "v1/jobs/validate", { text: text.value, signal });
      if (mine === asked) approved(verdict, found);
      page.ok();
    } catch (error) {
      if (mine === asked && !signal.aborted) told(error);
    }
  }

  async function send(event) {
    event.preventDefault();
    submit.disabled = true;
    clearTimeout(typing);
    asked++;
    try {
      // The same key as long as the text is the same: asked for twice, or again after a cut, it is one job.
      const job = await call("POST", "v1/jobs", { text: text.value, headers: { "Idempotency-Key": key }, signal });
      page.announce("The job is submitted.");
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      if (!signal.aborted) told(error);
    } finally {
      submit.disabled = false;
    }
  }

  function told(error) {
    if (error instanceof Away) page.failed(error);
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) page.failed(error);
    const items = (error.errors ?? []).map((fault) =>
      h(
        "li",
        {},
        h("button", { type: "button", class: "pointer", onclick: () => select(fault.pointer) }, fault.pointer || "the spec"),
        ` ${fault.message}`,
      ),
    );
    verdict.dataset.state = "bad";
    verdict.replaceChildren(h("strong", {}, error.message), h("ul", { class: "faults" }, ...items));
  }

  function select(pointer) {
    const [start, end] = locate(text.value, pointer);
    text.focus();
    text.setSelectionRange(start, end);
    const lines = text.value.slice(0, start).split("\n").length - 1;
    text.scrollTop = Math.max(0, (lines - 4) * parseFloat(getComputedStyle(text).lineHeight));
  }
}

const cloned = (job) => ({ ...job.spec, name: job.name ? `${job.name} (copy)`.slice(0, 100) : null });

function approved(place, found) {
  const warnings = (found.warnings ?? []).map((warning) =>
    h("li", {}, warning.pointer ? h("code", {}, warning.pointer) : null, ` ${warning.message}`),
  );
  const facts = [
    `${number(found.parameters)} parameters in ${number(found.layers.length)} layers`,
    found.memory ? `about ${bytes(found.memory.total_bytes)} of memory beside its data` : "",
    found.duration?.seconds ? `about ${duration(found.duration.seconds)} of training` : "",
  ].filter(Boolean);
  place.dataset.state = "good";
  place.replaceChildren(
    h("strong", {}, "This can be trained."),
    h("p", {}, `${facts.join("; ")}.`),
    warnings.length ? h("ul", { class: "warnings" }, ...warnings) : "",
    h("details", {}, h("summary", {}, "With every default filled in"), h("pre", { tabindex: "0" }, JSON.stringify(found.spec, null, 2))),
  );
}
