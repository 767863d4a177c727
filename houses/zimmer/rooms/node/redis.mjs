// A small Redis client: RESP2 over one connection, requests in order. It opens itself on first use and again
// after a failure; what was under way then fails, because whether the server had done it cannot be known.

import { connect } from 'node:net';
import { readFileSync } from 'node:fs';

const ANSWER_TIMEOUT_MS = 2_000;

/** Writes a command as RESP. */
export function encode(words) {
  const parts = words.map((word) => {
    const text = String(word);
    return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
  });
  return `*${words.length}\r\n${parts.join('')}`;
}

/** Reads one reply from `buffer` at `at`: `{ value, next }`, or null while bytes are missing. Errors are values. */
export function decode(buffer, at = 0) {
  const end = buffer.indexOf('\r\n', at);
  if (end < 0) return null;
  const line = buffer.toString('utf8', at + 1, end);
  const next = end + 2;
  switch (String.fromCharCode(buffer[at])) {
    case '+':
      return { value: line, next };
    case '-':
      return { value: new Error(line), next };
    case ':':
      return { value: Number(line), next };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, next };
      if (buffer.length < next + length + 2) return null;
      return { value: buffer.toString('utf8', next, next + length), next: next + length + 2 };
    }
    case '*': {
      const items = [];
      let place = next;
      for (let index = 0; index < Number(line); index += 1) {
        const item = decode(buffer, place);
        if (item === null) return null;
        items.push(item.value);
        place = item.next;
      }
      return { value: Number(line) < 0 ? null : items, next: place };
    }
    default:
      throw new Error('this is not a Redis server');
  }
}

/** One connection to `zimmer-speicher-redis`. */
export class Redis {
  #socket = null;
  #waiting = [];
  #received = Buffer.alloc(0);

  constructor({ host, port, password }) {
    this.where = { host, port: Number(port) };
    this.password = password;
  }

  /** From REDIS_HOST, REDIS_PORT and the credential file REDIS_PASSWORD_FILE. */
  static fromEnvironment(environment = process.env) {
    const password = readFileSync(environment.REDIS_PASSWORD_FILE, 'utf8').trim();
    return new Redis({ host: environment.REDIS_HOST, port: environment.REDIS_PORT, password });
  }

  /** Sends one command and gives its reply; an error reply is thrown. */
  async send(...words) {
    if (this.#socket === null) {
      this.#open();
      // The socket keeps the order, so the next command may follow at once.
      this.#write(['AUTH', this.password]).catch(() => {});
    }
    return this.#write(words);
  }

  close() {
    this.#fail(new Error('closed'));
  }

  #open() {
    const socket = connect(this.where);
    this.#socket = socket;
    this.#received = Buffer.alloc(0);
    socket.setNoDelay(true);
    socket.on('data', (piece) => this.#receive(piece));
    socket.on('error', (error) => this.#fail(new Error(`Redis: ${error.code ?? error.message}`), socket));
    socket.on('close', () => this.#fail(new Error('Redis closed the connection'), socket));
  }

  #write(words) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(new Error('Redis did not answer in time')), ANSWER_TIMEOUT_MS);
      timer.unref();
      this.#waiting.push({ resolve, reject, timer });
      this.#socket.write(encode(words));
    });
  }

  #receive(piece) {
    this.#received = Buffer.concat([this.#received, piece]);
    let at = 0;
    try {
      for (let reply = decode(this.#received, at); reply !== null; reply = decode(this.#received, at)) {
        at = reply.next;
        const waiting = this.#waiting.shift();
        clearTimeout(waiting.timer);
        if (reply.value instanceof Error) waiting.reject(reply.value);
        else waiting.resolve(reply.value);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#received = this.#received.subarray(at);
  }

  #fail(error, from = this.#socket) {
    // A late event of an old connection must not end the new one.
    if (from !== this.#socket || from === null) return;
    this.#socket = null;
    from.destroy();
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
  }
}
