// Which of a job's metrics are drawn together: the terms of the loss, accuracy, and how many weights are zero.

import { call } from "./api.js";
import { chart } from "./charts.js";
import { h, say } from "./dom.js";

const POINTS = 800;

/** The charts of a job. `refresh` reads its numbers anew: after a resume, steps are trained and told again. */
export function make() {
  const loss = chart("Loss, its terms apart", { canLog: true });
  const accuracy = chart("Accuracy");
  const zeros = chart("Weights that are exactly 0");
  const empty = h("p", { class: "empty", hidden: true });
  const grid = h("div", { class: "grid" }, loss.node, accuracy.node, zeros.node);
  const node = h("section", { "aria-label": "Curves" }, empty, grid);
  grid.hidden = true;
  return { node, refresh };

  async function refresh(job, signal) {
    const path = `v1/jobs/${job.id}/metrics?max_points=${POINTS}`;
    let points = (await call("GET", `${path}&scope=epoch`, { signal })).data;
    // Before there are two epochs there is no line; the steps within them make one.
    if (points.length < 2) points = (await call("GET", `${path}&scope=step`, { signal })).data;
    const last = points.at(-1);
    empty.hidden = Boolean(last);
    say(empty, job.finished_at ? "It ended before there was anything to draw." : "The curves begin with the first epoch.");
    grid.hidden = !last;
    if (!last) return;
    const names = [...new Set(points.flatMap((point) => Object.keys(point.values)))];
    const each = job.progress.steps ? job.progress.steps / job.progress.epochs : 1;
    const xs = points.map((point) => (point.scope === "epoch" ? point.epoch : point.step / each));
    draw(loss, xs, points, names.filter((name) => /^(train|val)\.loss$|^train\.penalty\./.test(name)).sort(byRank));
    draw(
      accuracy,
      xs,
      points,
      names.filter((name) => /^(train|val)\.accuracy$/.test(name)),
    );
    draw(
      zeros,
      xs,
      points,
      names.filter((name) => name === "weights.zeros"),
    );
  }
}

function draw(one, xs, points, names) {
  one.node.hidden = names.length === 0;
  if (names.length)
    one.update(
      xs,
      names.map((name) => ({ name, values: points.map((point) => point.values[name] ?? null) })),
    );
}

const byRank = (a, b) => rank(a) - rank(b) || a.localeCompare(b);
const rank = (name) => ["train.loss", "val.loss"].indexOf(name) + 1 || 3;
