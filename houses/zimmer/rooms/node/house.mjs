// How a Node room reaches another one: it asks the coordinator where the room is, then calls it directly.
// Only names which the coordinator knows are called, so a room cannot be talked into fetching a foreign address.

import { request as httpRequest } from 'node:http';
import { Problem } from './room.mjs';

const ANSWER_BYTES_MAX = 1024 * 1024;
const TIMEOUT_MS = 4_000;

/** One request; answers `{ status, text, json }`. Redirects are returned, never followed. */
export function fetchFrom(address, port, path, { method = 'GET', body } = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const headers = { accept: 'application/json', connection: 'close' };
    if (data !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(data);
    }
    const options = { host: address, port, path, method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
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

/** One GET to the coordinator of the house. */
export function coordinator(path) {
  const where = new URL(process.env.COORDINATOR);
  return fetchFrom(where.hostname, where.port, path);
}

/** One request to one room of the house, found by its name. */
export async function call(room, path, options) {
  const found = await coordinator(`/api/discover?service=${encodeURIComponent(room)}`);
  if (found.status !== 200) throw new Problem(502, `the coordinator does not know a healthy ${room}`);
  const { address, port } = found.json();
  if (!port) throw new Problem(502, `${room} has no port`);
  return fetchFrom(address, port, path, options);
}

/** A health check for rooms that need the coordinator. */
export async function coordinatorAnswers() {
  const { status } = await coordinator('/health');
  if (status !== 200) throw new Error(`status ${status}`);
  return 'answers 200';
}
