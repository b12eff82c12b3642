// @ts-self-types="./dragon.d.ts"

/** Creates tasks of a Dragon and follows them to their ends, in browsers and in Node. */

const BEAT_SECONDS = 15;
const SILENCE_SECONDS = 3 * BEAT_SECONDS;
const LONGEST_PAUSE_SECONDS = 15;

/** Why it cannot be done: `message` has the server's words, `status` is that of HTTP, or 0. */
export class DragonError extends Error {
  name = "DragonError";

  constructor(message, { status = 0, errors = [], retryAfter = 0, cause } = {}) {
    super(message, { cause });
    this.status = status;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

export class Dragon {
  #url;
  #credentials;
  #attempts;

  constructor({ url = new URL(".", import.meta.url), apiKey, secret, attempts = 20 } = {}) {
    this.#url = String(url).replace(/\/+$/, "");
    this.#credentials = { api_key: apiKey, secret };
    this.#attempts = attempts;
  }

  /** Queue tasks; their first statuses. However often it has to be sent, it creates them once. */
  async create(tasks, { signal, idempotencyKey = randomKey() } = {}) {
    const headers = { "Idempotency-Key": idempotencyKey };
    return this.#ask("create", { ...this.#credentials, tasks }, signal, headers);
  }

  /** How tasks are now. */
  async status(tasks, { signal } = {}) {
    return this.#ask("status", { tasks: keysOf(tasks) }, signal);
  }

  /** End tasks, those that run, too. */
  async cancel(tasks, { signal } = {}) {
    return this.#ask("cancel", { ...this.#credentials, tasks: keysOf(tasks) }, signal);
  }

  /** Where a task's file is, also before it is made: whoever asks for it waits. */
  fileURL(task, filename = "") {
    const name = filename && `/${encodeURIComponent(filename)}`;
    return `${this.#url}/v2/file${name}?task=${keyOf(task)}`;
  }

  /** Each task's status, now and as it changes, until all have ended: each end once. */
  async *follow(tasks, { signal } = {}) {
    const told = new Map(keysOf(tasks).map((key) => [key, ""]));
    yield* news(told, [tasks].flat().filter(isFinal));
    for (let failures = 0, isBack = false; told.size; isBack = true) {
      try {
        if (isBack) {
          // Where streams are held up on their way this still comes, and is asked for slowly.
          yield* news(told, await this.#once("status", bodyOf(told), signal));
          failures = Math.min(failures, 6, this.#attempts - 2);
          if (!told.size) return;
        }
        for await (const statuses of this.#stream(bodyOf(told), signal)) {
          const fresh = news(told, statuses);
          // A beat shows as well as news that the server is well.
          if (fresh.length || !statuses.length) failures = 0;
          yield* fresh;
        }
        if (told.size) throw new DragonError("the stream broke off");
      } catch (error) {
        // One task that is gone must not hide how the others end.
        const gone = statusesOfGone(told, error);
        yield* news(told, gone);
        if (!gone.length) failures = await this.#pause(error, failures + 1, signal);
      }
    }
  }

  /** The statuses of each line as it comes, none with a beat. */
  async *#stream(body, signal) {
    const { wait, close, signal: either } = patience(signal);
    // What was connected before the network changed may be dead, and never say so.
    globalThis.addEventListener?.("online", close, { signal: either });
    try {
      const method = `status_stream?heartbeat=${BEAT_SECONDS}`;
      const response = await wait(this.#post(method, body, either));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { done, value } = await wait(reader.read());
        if (done) return;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) yield statusesOf(line);
      }
    } finally {
      close();
    }
  }

  /** The answer to a request that may be sent again. */
  async #ask(method, value, signal, headers) {
    const body = JSON.stringify(value);
    for (let failures = 0; ; ) {
      try {
        return await this.#once(method, body, signal, headers);
      } catch (error) {
        failures = await this.#pause(error, failures + 1, signal);
      }
    }
  }

  async #once(method, body, signal, headers) {
    const { wait, signal: either } = patience(signal);
    const response = await wait(this.#post(method, body, either, headers));
    return wait(response.json());
  }

  /** A body without a type of its own is sent as text, for which browsers ask no leave before. */
  async #post(method, body, signal, headers) {
    const request = { method: "POST", body, signal, headers, cache: "no-store" };
    const response = await fetch(`${this.#url}/v2/${method}`, request);
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** Wait before the next attempt, if there is to be one; how many failures count by then. */
  async #pause(error, failures, signal) {
    signal?.throwIfAborted();
    if (isRefusal(error)) throw error;
    const isOffline = globalThis.navigator?.onLine === false;
    if (failures >= this.#attempts && !isOffline) {
      const words = `cannot reach ${this.#url}: ${error.message}`;
      throw error instanceof DragonError ? error : new DragonError(words, { cause: error });
    }
    const seconds = Math.min(isOffline ? Infinity : 2 ** failures / 4, LONGEST_PAUSE_SECONDS);
    // On top of what the server asks for: not all shall come back at that moment.
    await sleep((error.retryAfter ?? 0) + seconds * (0.5 + Math.random()), signal);
    return isOffline ? 0 : failures;
  }
}

const keyOf = (task) => task.key ?? task;
const keysOf = (tasks) => [tasks].flat().map(keyOf);
const bodyOf = (told) => JSON.stringify({ tasks: [...told.keys()] });
// 408 and 429 come from what stands before the server, and pass.
const isRefusal = ({ status }) => status >= 400 && status < 500 && ![408, 429].includes(status);
const isFinal = ({ status }) => status === "success" || status === "error";

/** Those that were not told: of what has ended nothing more, of the others no repetition. */
function news(told, statuses) {
  return statuses.filter((status) => {
    const text = JSON.stringify(status);
    if (!told.has(status.key) || told.get(status.key) === text) return false;
    if (isFinal(status)) told.delete(status.key);
    else told.set(status.key, text);
    return true;
  });
}

/** Where a request is refused because tasks are unknown or have expired: that they are. */
function statusesOfGone(told, { status, errors = [] }) {
  if (status !== 404) return [];
  // When they were queued nobody knows any more, but whoever reads statuses expects a date.
  const now = new Date().toISOString();
  return [...told.keys()].flatMap((key) => {
    const problem = errors.find(({ description }) => description?.includes(`'${key}'`));
    const error = problem?.description;
    return error ? [{ status: "error", key, error, events: { queued: now, completed: now } }] : [];
  });
}

function statusesOf(line) {
  if (!line) return [];
  const value = JSON.parse(line);
  if (Array.isArray(value)) return value;
  if (value.key) return [value];
  throw new DragonError(value.message, { status: 503 });
}

/** Waits for a server as long as one that lives may take, then gives the connection up. */
function patience(signal) {
  const controller = new AbortController();
  const words = `no word came for ${SILENCE_SECONDS} seconds`;
  const close = () => controller.abort(new DragonError(words));
  return {
    close,
    signal: AbortSignal.any([controller.signal, ...(signal ? [signal] : [])]),
    async wait(promise) {
      const timer = setTimeout(close, SILENCE_SECONDS * 1000);
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** So many seconds, or until the network is back. */
async function sleep(seconds, signal) {
  const over = new AbortController();
  let timer;
  await new Promise((resolve) => {
    timer = setTimeout(resolve, seconds * 1000);
    globalThis.addEventListener?.("online", resolve, { signal: over.signal });
    signal?.addEventListener("abort", resolve, { signal: over.signal });
  });
  clearTimeout(timer);
  over.abort();
  signal?.throwIfAborted();
}

async function refusal(response) {
  const { status, headers } = response;
  // What stands before the server may answer in its place, and in whatever form.
  const answer = await response.json().catch(() => null);
  const errors = [answer?.errors].flat().filter((problem) => problem?.description);
  const words = answer?.message ?? errors.map(({ description }) => description).join("; ");
  const retryAfter = Number(headers.get("Retry-After")) || 0;
  return new DragonError(words || `the server answered ${status}`, { status, errors, retryAfter });
}

/** `crypto.randomUUID` is missing from pages that came by plain HTTP. */
function randomKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
