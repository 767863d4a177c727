// Zimmer 09: the messenger. Every recipient has a Redis stream; a message stays there until it is confirmed.

import { Redis } from '../node/redis.mjs';
import { Answer, Problem, serve } from '../node/room.mjs';
import { fromStream, validMessage, validRecipient } from './message.mjs';

const MESSAGES_KEPT = 1_000;
const READ_MAX = 100;
const redis = Redis.fromEnvironment();
const inbox = (recipient) => `bote:${recipient}`;

/** One Redis command; a failing Redis is the caller's 503, not our 500. */
async function stored(...words) {
  try {
    return await redis.send(...words);
  } catch (error) {
    throw new Problem(503, error.message);
  }
}

function recipient(name) {
  if (!validRecipient(name)) throw new Problem(422, 'a recipient is 1 to 40 lower-case letters, digits or dashes');
  return name;
}

serve({
  german: 'Der Bote: Nachrichten warten in Redis, bis der Empfänger sie bestätigt.',
  english: 'The messenger: messages wait in Redis until the recipient confirms them.',
  examples: ['/inboxes', '/inboxes/haus/messages', '/health'],
  checks: { redis: () => redis.send('PING') },
  close: () => redis.close(),
  routes: {
    'GET /inboxes': async () => {
      const names = await stored('SMEMBERS', 'bote-inboxes');
      return Promise.all(names.sort().map(async (name) => ({ name, messages: await stored('XLEN', inbox(name)) })));
    },
    'POST /inboxes/:name/messages': async ({ name, body }) => {
      recipient(name);
      const problem = validMessage(body);
      if (problem !== '') throw new Problem(422, problem);
      await stored('SADD', 'bote-inboxes', name);
      const limit = ['MAXLEN', '~', MESSAGES_KEPT];
      const id = await stored('XADD', inbox(name), ...limit, '*', 'from', body.from, 'text', body.text);
      return new Answer(201, { id, to: name });
    },
    'GET /inboxes/:name/messages': async ({ name, query }) => {
      // `(` makes the start exclusive, so the id of the last message read is the place to go on.
      const start = /^\d+-\d+$/.test(query.after ?? '') ? `(${query.after}` : '-';
      return fromStream(await stored('XRANGE', inbox(recipient(name)), start, '+', 'COUNT', READ_MAX));
    },
    'DELETE /inboxes/:name/messages/:id': async ({ name, id }) => {
      if (!/^\d+-\d+$/.test(id)) throw new Problem(422, 'that is not the id of a message');
      if ((await stored('XDEL', inbox(recipient(name)), id)) === 0) throw new Problem(404, 'no such message');
      return { confirmed: id };
    },
  },
});
