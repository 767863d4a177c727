// The skeleton of a Node room: routes, health, a page about itself, one log line per request, a clean end.
// No framework and no package; it works with Node 18 and later. It knows nothing of Redis or of other rooms; that the
// room makes itself known to the coordinator is in `member.mjs`, here it is only begun and ended.

import { createServer } from 'node:http';
import { identified } from './house.mjs';
import { Member } from './member.mjs';
import { Answer, Problem } from './problem.mjs';

export { Answer, Problem };

const BODY_BYTES_MAX = 256 * 1024;
// Longer than the gateway keeps an idle connection, so that the gateway is always the side that closes it.
const KEEP_ALIVE_MS = 75_000;

/** Finds the route for a request: `GET /tools/:name` binds `name`. Answers 404 and 405 by throwing a Problem. */
export function match(routes, method, path) {
  const asked = path.split('/');
  let known = false;
  for (const [pattern, handler] of Object.entries(routes)) {
    const [patternMethod, patternPath] = pattern.split(' ');
    const parts = patternPath.split('/');
    if (parts.length !== asked.length) continue;
    const bound = {};
    const fits = parts.every((part, at) => {
      if (!part.startsWith(':')) return part === asked[at];
      bound[part.slice(1)] = safeDecode(asked[at]);
      return asked[at] !== '';
    });
    if (!fits) continue;
    known = true;
    if (patternMethod === method || (patternMethod === 'GET' && method === 'HEAD')) return { handler, bound };
  }
  throw known ? new Problem(405, 'this path has other methods') : new Problem(404, 'no such path');
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Problem(400, 'the path is not valid percent-encoding');
  }
}

async function readJson(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > BODY_BYTES_MAX) throw new Problem(413, 'body too large');
    pieces.push(piece);
  }
  if (size === 0) return {};
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw new Problem(400, 'the body is not JSON');
  }
}

async function health(room) {
  const seen = {};
  let healthy = true;
  for (const [name, check] of Object.entries(room.checks ?? {})) {
    try {
      seen[name] = await check();
    } catch (error) {
      healthy = false;
      seen[name] = `failed: ${error.message}`;
    }
  }
  const body = {
    status: healthy ? 'healthy' : 'unhealthy',
    service: room.name,
    instance: room.instance,
    checks: seen,
    // Told, not checked: a room that nobody can find still works.
    member: room.member?.state ?? 'there is no coordinator',
  };
  return new Answer(healthy ? 200 : 503, body);
}

/** The page a person sees at `/`, in both languages. */
export function frontPage(room) {
  const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const items = room.examples.map((path) => `<li><a href="${escape(path)}"><code>${escape(path)}</code></a></li>`);
  return `<!doctype html><html lang="de"><head><meta charset="utf-8"><title>${escape(room.name)}</title>
<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.5 system-ui;max-width:40rem;
margin:2rem auto;padding:0 1rem;color-scheme:light dark}</style></head><body><h1>${escape(room.name)}</h1>
<p>${escape(room.german)}</p><p lang="en">${escape(room.english)}</p><ul>${items.join('')}</ul></body></html>`;
}

function front(room, request) {
  if ((request.headers.accept ?? '').includes('text/html')) return frontPage(room);
  const about = { de: room.german, en: room.english };
  return { service: room.name, instance: room.instance, about, try: room.examples };
}

async function answer(room, routes, request) {
  // Only the path and query of the target count; the host is the gateway's business.
  const url = new URL(request.url, 'http://room');
  const { handler, bound } = match(routes, request.method, url.pathname);
  const query = Object.fromEntries(url.searchParams);
  const body = ['POST', 'PUT', 'PATCH'].includes(request.method) ? await readJson(request) : {};
  const result = await handler({ ...bound, query, body, request });
  return result instanceof Answer ? result : new Answer(200, result);
}

async function handle(room, routes, request, response, state) {
  const started = performance.now();
  let given;
  try {
    given = await answer(room, routes, request);
  } catch (error) {
    const status = error.status ?? 500;
    if (status === 500) process.stderr.write(`${error.stack}\n`);
    given = new Answer(status, { detail: status === 500 ? 'internal error' : error.message });
  }
  const isPage = typeof given.body === 'string';
  const text = isPage ? given.body : JSON.stringify(given.body);
  response.writeHead(given.status, {
    'content-type': isPage ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    // A half-read body would be taken for the next request; and a room that ends takes no further ones.
    ...(state.ending || given.status === 413 ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : text);
  // The path is still percent-encoded, so it cannot write a second line; query strings and bodies stay out of the log.
  const path = request.url.split('?')[0];
  process.stderr.write(`${request.method} ${path} ${given.status} ${(performance.now() - started).toFixed(1)}ms\n`);
}

/** Serves `{ german, english, examples, checks, routes, close }` until SIGTERM; begun requests are answered first. */
export function serve(description) {
  const room = {
    name: process.env.HAUS_SERVICE ?? 'room',
    instance: process.env.HAUS_INSTANCE ?? '1',
    ...description,
  };
  room.member = Member.fromEnvironment(room.name, Number(process.env.PORT));
  if (room.member) identified.headers = () => room.member.headers();
  const routes = {
    'GET /health': () => health(room),
    'GET /': ({ request }) => front(room, request),
    ...room.routes,
  };
  const state = { ending: false };
  // Which connections are being answered; Node itself does not close one at the end on which nothing was asked yet.
  const connections = new Map();
  const server = createServer((request, response) => {
    connections.set(request.socket, true);
    response.on('close', () => connections.has(request.socket) && connections.set(request.socket, false));
    return handle(room, routes, request, response, state);
  });
  server.on('connection', (socket) => {
    connections.set(socket, false);
    socket.on('close', () => connections.delete(socket));
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = KEEP_ALIVE_MS + 1_000;
  const end = () => {
    if (state.ending) return;
    state.ending = true;
    const left = room.member?.leave();
    server.close(async () => {
      await left;
      await room.close?.();
      process.exit(0);
    });
    for (const [socket, busy] of connections) if (!busy) socket.destroy();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  // Registered as soon as somebody can be served.
  server.listen(Number(process.env.PORT), '127.0.0.1', () => room.member?.start());
  return server;
}
