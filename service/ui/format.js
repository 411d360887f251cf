// How numbers and durations are shown.

const WHOLE = new Intl.NumberFormat("en");
const SHARE = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const TICK = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const SHARES = /accuracy$|zeros$|^fraction$|\.ece$/;

/** A metric by its name: shares in percent, anything else to four digits. Non-finite numbers come as text and stay so. */
export function metric(name, value) {
  if (value === undefined || value === null) return "–";
  if (typeof value !== "number") return value === "Infinity" ? "∞" : value === "-Infinity" ? "−∞" : String(value);
  return SHARES.test(name) ? SHARE.format(value) : number(value);
}

/** The same beside an axis, where there is room for some six letters. */
export function tick(name, value) {
  if (SHARES.test(name)) return TICK.format(value);
  return Math.abs(value) >= 1e5 ? short(value) : number(value);
}

export function number(value) {
  const size = Math.abs(value);
  // A loss that runs away is a whole number too, of some thirty digits.
  if (Number.isInteger(value) && size < 1e12) return WHOLE.format(value);
  if (size >= 1e-3 && size < 1e6) return String(Number(value.toPrecision(4)));
  return short(value);
}

const short = (value) =>
  value
    .toExponential(2)
    .replace(/\.?0+e/, "e")
    .replace("e+", "e");

export const share = (value) => SHARE.format(value);

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [minutes, hours] = [Math.floor(whole / 60), Math.floor(whole / 3600)];
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${whole % 60} s`;
}

/** How long a job has run, or ran. */
export function ran(job) {
  if (!job.started_at) return "–";
  const end = job.finished_at ? new Date(job.finished_at) : new Date();
  return duration(Math.max(0, (end - new Date(job.started_at)) / 1000));
}

const NAMES = {
  "weights.zeros": "weights that are 0",
  lr: "learning rate",
  samples_per_second: "samples a second",
  "test.nll": "test NLL",
  "test.ece": "test ECE",
  "test.brier": "test Brier score",
};

/** What a metric is called in a legend. */
export function title(name) {
  if (name in NAMES) return NAMES[name];
  const [where, ...what] = name.split(".");
  const words = what.join(" ").replace(/_/g, " ");
  if (where === "train" && what[0] === "penalty")
    return what.length > 1 ? `penalty ${what.slice(1).join(" ").replace(/_/g, " ")}` : "penalties, sum";
  return { train: `training ${words}`, val: `validation ${words}`, test: `test ${words}` }[where] ?? name.replace(/[._]/g, " ");
}
