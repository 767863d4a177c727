// Zimmer 04: answers questions about the house from templates and keeps the answers in Redis for a while.
// There is no language model behind it; the interface is the one such a model could have.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Redis } from '../node/redis.mjs';
import { Problem, serve } from '../node/room.mjs';
import { answerFor } from './answers.mjs';

const CACHE_SECONDS = 600;
const QUESTION_CHARACTERS_MAX = 1_000;
const redis = Redis.fromEnvironment();
const templates = JSON.parse(readFileSync(new URL('templates.json', import.meta.url), 'utf8'));

async function ask(question, language) {
  if (typeof question !== 'string' || question.trim() === '') throw new Problem(422, 'a question is missing');
  if (question.length > QUESTION_CHARACTERS_MAX) throw new Problem(422, 'the question is too long');
  if (!['de', 'en'].includes(language)) throw new Problem(422, 'language is de or en');
  const key = `opencode:${language}:${createHash('sha256').update(question.trim().toLowerCase()).digest('hex')}`;
  try {
    const kept = await redis.send('GET', key);
    if (kept !== null) return { ...JSON.parse(kept), cached: true };
    const answer = answerFor(templates, question, language);
    await redis.send('SET', key, JSON.stringify(answer), 'EX', CACHE_SECONDS);
    return { ...answer, cached: false };
  } catch (error) {
    throw new Problem(503, error.message);
  }
}

serve({
  german: 'Beantwortet Fragen zum Haus aus Vorlagen und merkt sich Antworten eine Weile in Redis. Kein Sprachmodell.',
  english: 'Answers questions about the house from templates, cached in Redis for a while. No language model.',
  examples: ['/answers?question=Welches%20Zimmer%20sucht%20in%20Texten%3F&language=de', '/templates', '/health'],
  checks: { redis: () => redis.send('PING') },
  close: () => redis.close(),
  routes: {
    'GET /answers': ({ query }) => ask(query.question, query.language ?? 'de'),
    'POST /answers': ({ body }) => ask(body.question, body.language ?? 'de'),
    'GET /templates': () => templates,
  },
});
