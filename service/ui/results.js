// What a succeeded job found: test numbers, zeros layer by layer, the confusion matrix, the first layer's filters.

import { Problem, blob, call } from "./api.js";
import { h, table } from "./dom.js";
import { metric, number, share, title } from "./format.js";

const MOST_CLASSES = 30;

/** The results of a job; empty until it has succeeded. */
export function make(page) {
  const node = h("div", { class: "results" });
  let shown = false;
  return { node, refresh };

  async function refresh(job, signal) {
    if (shown || job.status !== "succeeded") return;
    const result = await call("GET", `v1/jobs/${job.id}/result`, { signal });
    shown = true;
    const pictures = h("div", { class: "pair" }, confusion(result, job), picture(job, signal, page));
    node.replaceChildren(tests(result), layers(result), pictures);
  }
}

function tests(result) {
  const names = Object.keys(result.metrics).filter((name) => name.startsWith("test."));
  const cells = names.map((name) => h("div", {}, h("dt", {}, title(name)), h("dd", {}, metric(name, result.metrics[name]))));
  const epochs = `${number(result.epochs)} epochs`;
  const ended =
    { epochs: `Trained all ${epochs}`, early_stopping: `Stopped early after ${epochs}`, tolerance: `Within its tolerance after ${epochs}` }[
      result.stop_reason
    ] ?? `Ended by ${result.stop_reason} after ${epochs}`;
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Result"),
    h("dl", { class: "tiles" }, ...cells),
    h(
      "p",
      { class: "soft" },
      `${ended}; best epoch ${number(result.best_epoch)}; ${number(result.parameters)} parameters; trained on ${result.machine.device}.`,
    ),
  );
}

function layers(result) {
  const columns = [
    ["Layer"],
    ["Weights", "number"],
    ["Exactly 0", "number"],
    ["Share"],
    ["Below 0.001", "number"],
    ["Dead filters", "number"],
    ["σ max", "number"],
  ];
  const rows = result.layers.map((layer) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("code", {}, layer.name)),
      h("td", { class: "number" }, number(layer.size)),
      h("td", { class: "number" }, number(layer.zeros)),
      h("td", {}, gauge(layer)),
      h("td", { class: "number" }, share(layer.near_zero / layer.size)),
      h("td", { class: "number" }, layer.filters == null ? "–" : `${number(layer.dead_filters ?? 0)} of ${number(layer.filters)}`),
      h("td", { class: "number" }, metric("", layer.sigma_max)),
    ),
  );
  return h("section", { class: "card" }, h("h2", {}, "Sparsity by layer"), table("Zeros of each layer", columns, h("tbody", {}, ...rows)));
}

function gauge(layer) {
  const part = layer.size ? layer.zeros / layer.size : 0;
  return h(
    "div",
    { class: "meter" },
    h("meter", { min: "0", max: "1", value: String(part), "aria-label": `zeros of ${layer.name}` }),
    share(part),
  );
}

function confusion(result, job) {
  const matrix = result.confusion;
  if (!matrix || matrix.length > MOST_CLASSES) return h("div", { hidden: true });
  const named = names(job, matrix.length);
  const head = h("tr", {}, h("th", { scope: "col" }, "true ↓ called →"), ...named.map((name) => h("th", { scope: "col" }, name)));
  const rows = matrix.map((counts, truth) => {
    const all = counts.reduce((sum, count) => sum + count, 0) || 1;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, named[truth]),
      ...counts.map((count, called) => cell(count, count / all, truth === called)),
    );
  });
  const made = h(
    "table",
    { class: "confusion" },
    h("caption", { class: "unseen" }, "Confusion matrix of the test rows"),
    h("thead", {}, head),
    h("tbody", {}, ...rows),
  );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Confusion matrix"),
    h("p", { class: "soft" }, "Test rows; the colour is the share of the row."),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, made),
  );
}

function cell(count, part, right) {
  const made = h("td", { class: right ? "right" : "wrong", title: `${share(part)} of the row` }, count ? number(count) : "·");
  made.style.setProperty("--part", `${Math.round(part * 100)}%`);
  if (part > 0.55) made.classList.add("strong");
  return made;
}

const FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const names = (job, count) =>
  job.spec.dataset.name === "fashion_mnist" && count === FASHION.length
    ? FASHION
    : Array.from({ length: count }, (_, index) => String(index));

/** The picture of the first layer's filters, drawn by the service. */
function picture(job, signal, page) {
  const place = h("img", { alt: "The first layer's filters of the best checkpoint", hidden: true });
  const node = h("section", { class: "card", hidden: true }, h("h2", {}, "First layer"), place);
  // As wide as its column, so that its letters are no smaller than the page's.
  const size = matchMedia("(max-width: 55rem)").matches ? "width=360&height=260" : "width=540&height=340";
  let source = "";
  const draw = async () => {
    try {
      const bytes = await blob(
        `v1/jobs/${job.id}/plots/filters.png?theme=${isDark() ? "dark" : "light"}&${size}&dpi=200`,
        signal,
      );
      URL.revokeObjectURL(source);
      place.src = source = URL.createObjectURL(bytes);
      node.hidden = place.hidden = false;
    } catch (error) {
      if (!(error instanceof Problem)) page.failed(error); // a model without weights to draw has no picture, and that is all
    }
  };
  addEventListener("themechange", draw, { signal });
  draw();
  return node;
}

const isDark = () => getComputedStyle(document.documentElement).getPropertyValue("--is-dark").trim() === "1";
