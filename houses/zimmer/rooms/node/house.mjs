// How a Node room reaches another one: it asks the coordinator where the room is, then calls it directly.
// Only names which the coordinator knows are called, so a room cannot be talked into fetching a foreign address.
// While the coordinator does not answer, rooms are called where they were last.

import { request as httpRequest } from 'node:http';
import { Problem } from './problem.mjs';

const ANSWER_BYTES_MAX = 1024 * 1024;
const TIMEOUT_MS = 4_000;

/** Headers that say who asks; the skeleton sets `headers` when the room is a member of the house. */
export const identified = { headers: () => ({}) };
const lastSeen = new Map();

/** One request; answers `{ status, text, json }`. Redirects are returned, never followed. */
export function fetchFrom(address, port, path, { method = 'GET', body, more = {}, timeoutMs = TIMEOUT_MS } = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const headers = { accept: 'application/json', connection: 'close', ...more };
    if (data !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(data);
    }
    const options = { host: address, port, path, method, headers, signal: AbortSignal.timeout(timeoutMs) };
    const call = httpRequest(options, async (response) => {
      const pieces = [];
      let size = 0;
      try {
        for await (const piece of response) {
          size += piece.length;
          if (size > ANSWER_BYTES_MAX) throw new Error('the answer is larger than 1 MiB');
          pieces.push(piece);
        }
      } catch (error) {
        reject(new Problem(502, `port ${port} broke off: ${error.message}`));
        return;
      }
      const text = Buffer.concat(pieces).toString('utf8');
      resolve({ status: response.statusCode, text, json: () => JSON.parse(text) });
    });
    call.on('error', (error) => reject(new Problem(502, `no answer from port ${port}: ${error.code ?? error.name}`)));
    call.end(data);
  });
}

/** Where the coordinator is, as it told every room of its house. */
export function api() {
  let where;
  try {
    where = new URL(process.env.HAUS_API ?? '');
  } catch {
    where = null;
  }
  if (where?.protocol !== 'http:' || where.port === '') {
    throw new Problem(503, 'this house has no coordinator: HAUS_API is not http://ADDRESS:PORT');
  }
  return where;
}

/** One request to the coordinator of the house, in the name of this room once it has one. */
export async function coordinator(path, options = {}) {
  const where = api();
  const place = where.pathname.replace(/\/$/, '') + path;
  const more = options.more ?? identified.headers();
  const answer = await fetchFrom(where.hostname, where.port, place, { ...options, more });
  // The token was taken back a moment ago; what strangers may know is answered all the same.
  const again = answer.status === 401 && options.method === undefined && more.authorization !== undefined;
  return again ? fetchFrom(where.hostname, where.port, place) : answer;
}

async function find(room) {
  const known = lastSeen.get(room);
  let found;
  try {
    found = await coordinator(`/api/discover?service=${encodeURIComponent(room)}`);
  } catch (error) {
    if (known) return known;
    throw error;
  }
  if (found.status >= 500 && known) return known;
  if (found.status !== 200) throw new Problem(502, `the coordinator does not know a healthy ${room}`);
  const { address, port } = found.json();
  if (!port) throw new Problem(502, `${room} has no port`);
  lastSeen.set(room, { address, port });
  return { address, port };
}

/** One request to one room of the house, found by its name. */
export async function call(room, path, options) {
  const { address, port } = await find(room);
  return fetchFrom(address, port, path, options);
}

/** The same through the gateway of the house: it picks the instance, tries again where that is safe, and knows who
 * asked. This room's token must allow it, which it does for what the plan lists under `needs`. */
export function callThroughGateway(room, path, options) {
  return coordinator(`/api/gateway/proxy/${encodeURIComponent(room)}${path}`, options);
}

/** What a room that asks the coordinator says of it in its health. It stays healthy without: a restart helps nobody. */
export async function coordinatorAnswers() {
  try {
    const { status } = await coordinator('/health');
    return `answers ${status}`;
  } catch (error) {
    return `${error.message}; rooms are called where they were last`;
  }
}
