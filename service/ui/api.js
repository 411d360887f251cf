// How the page speaks to the API: one function for requests, one for streams, and where the API key is kept.

const KEY = "ridgeline-api-key";
const base = new URL("./", document.baseURI);

/** A Problem (RFC 9457) that the API answered with. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the service answered ${status}`);
    this.status = status;
    this.code = body?.code ?? "";
    this.errors = body?.errors ?? [];
    this.requestId = body?.request_id ?? "";
    this.body = body;
  }
}

/** The API did not answer at all, or something before it answered in its place. */
export class Away extends Error {}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** The address of a path of the API, wherever the page is served. */
export const address = (path) => new URL(path.replace(/^\//, ""), base);

/** The JSON of a reply. Raises Problem, Away, or AbortError. */
export async function call(method, path, { json, text, headers = {}, signal } = {}) {
  const body = text ?? (json === undefined ? undefined : JSON.stringify(json));
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  const reply = await send(path, { method, body, signal, headers: { Accept: "application/json", ...type, ...headers } });
  const isJson = /json/.test(reply.headers.get("Content-Type") ?? "");
  const document = isJson ? await reply.json().catch(() => null) : null;
  if (!reply.ok)
    throw reply.status >= 502 && !document ? new Away(`the service answered ${reply.status}`) : new Problem(reply.status, document);
  return document;
}

/** The bytes behind a path, asked for with the key: a link cannot carry it. */
export async function blob(path, signal) {
  const reply = await send(path, { signal });
  if (!reply.ok) throw new Problem(reply.status, await reply.json().catch(() => null));
  return reply.blob();
}

/**
 * The frames of an event stream as {event, id, data}. Comes back by itself after a cut, with Last-Event-ID, so that nothing is
 * missed; `onCut` hears of it. Not an EventSource: that one can send no key.
 */
export async function* frames(path, { signal, onCut = () => {}, onOpen = () => {} }) {
  let last = "";
  for (let failures = 0; !signal.aborted;) {
    try {
      const reply = await send(path, { signal, headers: { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) } });
      if (!reply.ok) throw new Problem(reply.status, await reply.json().catch(() => null));
      onOpen();
      for await (const frame of parsed(reply.body)) {
        failures = 0;
        last = frame.id || last;
        yield frame;
      }
      failures++; // an end without a terminal event: the service stopped, or somebody before it cut us off
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status < 500 && error.status !== 429)) throw error;
      failures++;
    }
    onCut();
    await pause(Math.min(500 * 2 ** Math.min(failures, 5), 10_000), signal);
  }
}

export const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });

/** Once the page is looked at; at once where it is. Until then no timer runs and nothing is asked: a tab that sleeps is left asleep. */
export const seen = (signal) =>
  new Promise((resolve) => {
    if (document.visibilityState === "visible") return resolve();
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal?.addEventListener("abort", resolve, { once: true });
  });

/** A fresh Idempotency-Key. Not randomUUID, which a page on plain http has not. */
export function once() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(path, options) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("Authorization", `Bearer ${key.get()}`);
  try {
    return await fetch(address(path), { ...options, headers, cache: "no-cache", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("the service does not answer");
  }
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let held = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (held + value).split("\n\n");
      held = blocks.pop();
      for (const block of blocks) {
        const frame = fields(block);
        if (frame) yield frame;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fields(block) {
  const found = { event: "message", id: "", data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") found.data.push(value);
    else if (name === "event" || name === "id") found[name] = value;
  }
  return found.data.length ? { ...found, data: JSON.parse(found.data.join("\n")) } : null;
}
