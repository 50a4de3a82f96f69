// A client of Giftledger's HTTP door. Node.js 20, nothing else. Copy it, change it.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const FINAL = new Set(["taken", "refused", "conflict", "malformed"]);
// With these nothing is decided and nothing will be, however often one asks.
const HOPELESS = new Set([400, 401, 403, 404, 405, 410, 413, 415]);
const HOPELESS_CODES = new Set(["not_allowed", "token_missing", "token_unknown", "token_expired", "token_replaced", "token_revoked"]);
const BULK_LINES = 10_000;
const BULK_BYTES = 16 << 20;

/** No outcome in time: ask again later, with the same id. `answer` is the last that came, if one did. */
export class Undecided extends Error {
  constructor(tries, answer) {
    super(`no outcome after ${tries} tries: ${JSON.stringify(answer)}`);
    this.answer = answer;
  }
}

/** The server will not do it: the token, the address, or the form of the request is wrong. */
export class Denied extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    Object.assign(this, { status, problem });
  }
}

/** Worth asking again. */
class Later extends Error {
  constructor(problem, seconds) {
    super(problem.detail);
    Object.assign(this, { problem, seconds: Number(seconds) || 0 });
  }
}

export class Client {
  constructor(url, { token, patienceMs = 300_000, timeoutMs = 60_000 } = {}) {
    Object.assign(this, { url: url.replace(/\/$/, ""), token, patienceMs, timeoutMs });
  }

  /** The final answer to one command: look at its `state`. The id stays the same, so asking again is safe. */
  append(command) {
    const body = JSON.stringify(command);
    return this.#untilDecided(async () => {
      const response = await this.#open("/v1/commands", { method: "POST", body, type: "application/json" });
      return [await response.json(), response.headers.get("retry-after")];
    });
  }

  /** The final answers to many commands, in their order. What has no outcome yet is sent again; what the token does
   * not allow comes back as `undecided`, with its code. */
  async bulk(commands) {
    const answers = [];
    let batch = [];
    let size = 0;
    for await (const command of commands) {
      const line = JSON.stringify(command) + "\n";
      const bytes = Buffer.byteLength(line);
      if (batch.length > 0 && (batch.length === BULK_LINES || size + bytes > BULK_BYTES)) {
        answers.push(...(await this.#batch(batch)));
        [batch, size] = [[], 0];
      }
      batch.push(line);
      size += bytes;
    }
    return batch.length > 0 ? answers.concat(await this.#batch(batch)) : answers;
  }

  /** Yields [event, cursor] for ever, from a cursor on. Do what the event asks for, THEN store the cursor, and give it as
   * `after` the next time. An event may come twice: drop what (shard, sequence) says you had. Where the event is null
   * nothing happened; store the cursor all the same. */
  async *follow(after = "start", filters = {}) {
    for (let waits = 1; ; waits += 1) {
      try {
        for await (const [event, cursor] of this.#followOnce(after, filters)) {
          [after, waits] = [cursor, 0];
          yield [event, cursor];
        }
      } catch (error) {
        if (error instanceof Denied) throw error;
        await sleep((error.seconds ?? 0) * 1_000); // the connection broke: go on behind the last whole event
      }
      await sleep(pauseMs(waits));
    }
  }

  /** One question, such as `get("/v1/users/u1")`. */
  async get(path, query = {}) {
    return (await this.#open(`${path}?${new URLSearchParams(query)}`)).json();
  }

  async #untilDecided(ask) {
    const giveUp = Date.now() + this.patienceMs;
    for (let tries = 1, last = null; ; tries += 1) {
      let seconds = 0;
      try {
        [last, seconds] = await ask();
        if (FINAL.has(last.state)) return last;
      } catch (error) {
        if (error instanceof Denied) throw error;
        // No answer, or half of one: what became of the command is not known.
        [last, seconds] = [error.problem ?? { detail: String(error.cause ?? error) }, error.seconds];
      }
      const pause = Number(seconds) * 1_000 || pauseMs(tries);
      if (Date.now() + pause > giveUp) throw new Undecided(tries, last);
      await sleep(pause);
    }
  }

  async #batch(lines) {
    const answers = new Array(lines.length).fill(null);
    await this.#untilDecided(async () => {
      const left = [...answers.keys()].filter((n) => answers[n] === null);
      for await (const answer of this.#bulkOnce(left.map((n) => lines[n]))) {
        if (FINAL.has(answer.state) || HOPELESS_CODES.has(answer.code)) answers[left[answer.line - 1]] = answer;
      }
      return [{ state: answers.includes(null) ? "undecided" : "taken" }, 0];
    });
    return answers;
  }

  /** The answers as far as they come; what comes no further is asked for again. */
  async *#bulkOnce(lines) {
    const response = await this.#open("/v1/commands/bulk", { method: "POST", body: lines.join(""), type: "application/x-ndjson" });
    try {
      for await (const text of textLines(response.body)) {
        const answer = JSON.parse(text);
        if (answer.end) return;
        yield answer;
      }
    } catch {
      // Broken off.
    }
  }

  async *#followOnce(after, filters) {
    const response = await this.#open(`/v1/events?${new URLSearchParams({ after, ...filters })}`, { accept: "text/event-stream" });
    let [kind, data, cursor] = ["message", [], null];
    for await (const line of textLines(response.body, 45_000)) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
      if (name === "id") cursor = value;
      else if (name === "data") data.push(value);
      else if (name === "event") kind = value;
      else if (line === "") {
        if (kind === "end") return;
        if (cursor !== null) yield [data.length > 0 ? JSON.parse(data.join("\n")) : null, cursor];
        [kind, data, cursor] = ["message", [], null];
      }
    }
  }

  async #open(path, { method = "GET", body, type, accept } = {}) {
    const headers = Object.entries({ "content-type": type, accept, authorization: this.token && `Bearer ${this.token}` });
    const head = new AbortController();
    const timer = setTimeout(() => head.abort(), this.timeoutMs);
    const response = await fetch(this.url + path, {
      method, body, headers: headers.filter(([, value]) => value), signal: head.signal,
    }).finally(() => clearTimeout(timer));
    if (response.ok) return response;
    const text = await response.text();
    let problem = { detail: text };
    try {
      problem = JSON.parse(text);
    } catch {
      // Somebody between the server and here says it.
    }
    if (FINAL.has(problem.state)) return new Response(text, { status: response.status });
    if (HOPELESS.has(response.status)) throw new Denied(response.status, problem);
    throw new Later(problem, response.headers.get("retry-after"));
  }
}

/** The whole lines of a body. Fails where nothing comes for too long, or where it breaks off. */
async function* textLines(body, silenceMs = 60_000) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      let timer;
      const silence = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error("silence")), silenceMs)));
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      yield* lines.map((line) => line.replace(/\r$/, ""));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** 0.1 s, then doubled up to 10 s, each between half and all of it, so that many clients do not come at once. */
function pauseMs(tries) {
  return Math.min(10_000, 100 * 2 ** Math.min(Math.max(tries - 1, 0), 10)) * (0.5 + Math.random() / 2);
}

/** node giftledger.mjs URL append|bulk < LINES, or URL follow CURSOR_FILE: a command, an answer, an event a line. */
async function main(url, what, file) {
  const client = new Client(url);
  const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
  const input = what === "follow" ? [] : createInterface({ input: process.stdin });
  if (what === "append") {
    for await (const line of input) print(await client.append(JSON.parse(line)));
  } else if (what === "bulk") {
    const commands = [];
    for await (const line of input) commands.push(JSON.parse(line));
    (await client.bulk(commands)).forEach(print);
  } else if (what === "follow") {
    let after = "start";
    try {
      after = readFileSync(file, "ascii");
    } catch {
      // The first time.
    }
    // Seldom enough that the disk keeps up: what came behind the last stored cursor comes again.
    let count = 0;
    for await (const [event, cursor] of client.follow(after)) {
      if (event) print(event);
      if (event && (count += 1) % 100 !== 0) continue;
      writeFileSync(`${file}.new`, cursor);
      renameSync(`${file}.new`, file);
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main(...process.argv.slice(2));
