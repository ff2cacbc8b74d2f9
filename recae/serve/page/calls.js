// Calls of the service. Ids keep their type, and integers past 2^53 keep their digits.

const MOST_TRIES = 4, LONGEST_WAIT = 30;

export class Trouble extends Error {
  constructor(message, { status = 0, parameter = null, code = null } = {}) {
    super(message);
    Object.assign(this, { status, parameter, code });
  }
}

let token = read("recae-token");

export function useToken(text) {
  token = text;
  try { sessionStorage.setItem("recae-token", text); } catch { /* storage is switched off */ }
}

function read(name) {
  try { return sessionStorage.getItem(name) ?? ""; } catch { return ""; }
}

// A whole number that a double cannot hold becomes a BigInt, and is written as it was read.
const exact = (key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
    ? BigInt(context.source) : value;
const digits = (key, value) => typeof value !== "bigint" ? value
  : JSON.rawJSON ? JSON.rawJSON(String(value)) : Number(value);

export const parsed = (text) => JSON.parse(text, exact);
export const written = (value) => JSON.stringify(value, digits);

// One call. `waiting(seconds, retry)` is called before a busy service is asked again.
export async function call(path, { body, signal, waiting } = {}) {
  for (let tried = 1; ; tried++) {
    const answer = await once(path, body, signal);
    if (answer.ok) return content(answer);
    const busy = answer.status === 429 || answer.status === 503;
    if (!busy || !waiting || tried === MOST_TRIES) throw await refusal(answer);
    const seconds = Number.parseInt(answer.headers.get("Retry-After") ?? "", 10);
    await pause(Math.min(Math.max(seconds || 2 ** (tried - 1), 1), LONGEST_WAIT), signal, waiting);
  }
}

async function once(path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const method = body === undefined ? "GET" : "POST";
  try {
    return await fetch(path, { method, headers, signal, body: body && written(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The service does not answer. Check that it runs and that you are connected.");
  }
}

async function content(answer) {
  let text;
  try {
    text = await answer.text();
    return parsed(text);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(text === undefined
      ? "The connection broke off before the answer was complete."
      : "The answer is not that of a recae service. Check what runs at this address.");
  }
}

const SAID = {
  401: "This service asks for an access token. Enter it above.",
  403: "This service does not accept the access token. Enter another one above.",
  404: "The service does not have what was asked for. It may be older than this page: reload it.",
  413: "The request is too large for this service. Take some titles out.",
  429: "The service is busy. Try again in a moment.",
  503: "The service is busy or not ready yet. Try again in a moment.",
  504: "The service took too long for an answer. Try again in a moment.",
};

async function refusal(answer) {
  let told = {};
  try { told = (await answer.json()).error ?? {}; } catch { /* not an answer of recae */ }
  const { status } = answer;
  if (status === 401 && token) return new Trouble(SAID[403], { status });
  const own = status === 401 || status === 403 || status === 429 ? undefined : told.message;
  const message = own ?? SAID[status] ?? (status >= 500
    ? "The service failed to answer. Its log has the reason."
    : `The service refused the request (HTTP ${status}).`);
  return new Trouble(String(message), { status, parameter: told.parameter, code: told.code });
}

// Waits, counting down; `retry` ends the wait at once.
function pause(seconds, signal, waiting) {
  return new Promise((resolve, reject) => {
    let left = seconds;
    const end = (then, value) => {
      clearInterval(clock);
      signal?.removeEventListener("abort", stop);
      then(value);
    };
    const stop = () => end(reject, new DOMException("stopped", "AbortError"));
    const clock = setInterval(() => (left -= 1) > 0 ? tell() : end(resolve), 1000);
    const tell = () => waiting(left, () => end(resolve));
    if (signal?.aborted) return stop();
    signal?.addEventListener("abort", stop);
    tell();
  });
}
