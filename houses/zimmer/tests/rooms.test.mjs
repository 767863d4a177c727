// The parts of the Node rooms that need no running house: node --test houses/zimmer/tests/

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationMs, nextRun } from '../rooms/chronos-stratege/schedule.mjs';
import { fromStream, validMessage, validRecipient } from '../rooms/clawdbot-bote/message.mjs';
import { sampleOf, statistics } from '../rooms/evolution-optimizer/statistics.mjs';
import { fill, lookUp, pick } from '../rooms/n8n-manager/template.mjs';
import { decode, encode } from '../rooms/node/redis.mjs';
import { frontPage, match } from '../rooms/node/room.mjs';
import { answerFor } from '../rooms/opencode-sekretaer/answers.mjs';
import { tools } from '../rooms/sin-plugins/tools.mjs';

test('routes bind names, and say 404 and 405', () => {
  const routes = { 'GET /tools': () => 'all', 'GET /tools/:name': () => 'one', 'POST /tools/:name': () => 'use' };
  assert.deepEqual(match(routes, 'GET', '/tools/a%20b').bound, { name: 'a b' });
  assert.equal(match(routes, 'HEAD', '/tools').handler(), 'all');
  const status = (method, path) => {
    try {
      match(routes, method, path);
    } catch (error) {
      return error.status;
    }
    return 200;
  };
  assert.equal(status('GET', '/nothing'), 404);
  assert.equal(status('GET', '/tools/'), 404);
  assert.equal(status('DELETE', '/tools'), 405);
  assert.equal(status('GET', '/tools/%zz'), 400);
});

test('the front page escapes what it shows', () => {
  const page = frontPage({ name: '<b>', german: 'ä & ö', english: '"x"', examples: ['/a?b=1&c'] });
  assert.match(page, /<title>&#60;b&#62;<\/title>/);
  assert.ok(!page.includes('<b>'));
});

test('Redis commands count bytes, and answers are read piece by piece', () => {
  assert.equal(encode(['SET', 'ü', 1]), '*3\r\n$3\r\nSET\r\n$2\r\nü\r\n$1\r\n1\r\n');
  const whole = Buffer.from('*3\r\n$2\r\nü\r\n:5\r\n$-1\r\n');
  assert.deepEqual(decode(whole).value, ['ü', 5, null]);
  for (let length = 0; length < whole.length; length += 1) assert.equal(decode(whole.subarray(0, length)), null);
  assert.equal(decode(Buffer.from('-ERR no\r\n')).value.message, 'ERR no');
  assert.throws(() => decode(Buffer.from('HTTP/1.1 400\r\n')));
});

test('templates fill texts, keep types, and refuse what is unknown', () => {
  const known = { smoke: { passed: 3, list: [1] }, input: { word: 'a b' } };
  assert.equal(fill('/s?q={{input.word}}', known, encodeURIComponent), '/s?q=a%20b');
  assert.deepEqual(fill({ n: '{{smoke.passed}}', t: 'n={{smoke.passed}}', l: ['{{smoke.list}}'] }, known), {
    n: 3, t: 'n=3', l: [[1]],
  });
  assert.throws(() => fill('{{smoke.failed}}', known), /nothing is known as smoke.failed/);
  assert.equal(lookUp(known, 'constructor.name'), undefined);
  assert.deepEqual(pick({ a: { b: 1 } }, { c: 'a.b' }), { c: 1 });
});

test('the next run is counted from fixed moments', () => {
  const now = new Date('2026-11-21T03:47:10Z');
  const next = (plan) => nextRun(plan, now).toISOString();
  assert.equal(next({ every: '10m' }), '2026-11-21T03:50:00.000Z');
  assert.equal(next({ every: '1h' }), '2026-11-21T04:00:00.000Z');
  assert.equal(next({ at: '05:30' }), '2026-11-21T05:30:00.000Z');
  assert.equal(next({ at: '03:47' }), '2026-11-22T03:47:00.000Z');
  assert.equal(durationMs('2d'), 172_800_000);
  for (const bad of [{ every: '10' }, { every: '0s' }, { at: '25:00' }, {}]) assert.throws(() => next(bad));
});

test('the template with most shared words answers', () => {
  const templates = {
    unknown: { words: [], answer: { de: 'weiß nicht', en: 'no idea' } },
    tables: { words: ['tabelle', 'table'], answer: { de: 'sechzehn', en: 'sixteen' } },
  };
  assert.deepEqual(answerFor(templates, 'Wo sind Tabellen?', 'de'), { answer: 'sechzehn', topic: 'tables', sure: 0.5 });
  assert.equal(answerFor(templates, 'Wetter?', 'en').answer, 'no idea');
});

test('messages and recipients are checked', () => {
  assert.equal(validMessage({ from: 'ich', text: 'hallo' }), '');
  for (const bad of [undefined, {}, { from: 'ich' }, { from: 'ICH', text: 'x' }, { from: 'ich', text: 'x'.repeat(4001) }]) {
    assert.notEqual(validMessage(bad), '');
  }
  assert.ok(!validRecipient('a:b'));
  assert.deepEqual(fromStream([['1795231850976-0', ['from', 'ich', 'text', 'x']]]), [
    { id: '1795231850976-0', at: '2026-11-21T03:30:50.976Z', from: 'ich', text: 'x' },
  ]);
});

test('statistics count healthy shares and changes, also those between two samples', () => {
  const sample = (status, since) => ({
    at: since,
    rooms: sampleOf({ services: [{ name: 'calm', status: 'healthy', since: 0 }, { name: 'restless', status, since }] }),
  });
  const result = statistics([sample('healthy', 1), sample('healthy', 2), sample('offline', 3), sample('offline', 3)]);
  assert.equal(result.all_healthy_share, 0.5);
  assert.deepEqual(
    result.rooms.map(({ name, changes, healthy_share }) => [name, changes, healthy_share]),
    [['restless', 2, 0.5], ['calm', 0, 1]],
  );
  assert.deepEqual(statistics([]).rooms, []);
});

test('every tool does what its example says, and refuses nonsense', () => {
  for (const [name, tool] of Object.entries(tools)) assert.deepEqual(tool.run(tool.example.input), tool.example.output, name);
  assert.throws(() => tools.roman.run('4000'));
  assert.throws(() => tools.duration.run('-1'));
  assert.equal(tools.iban.run('DE88 3704 0044 0532 0130 00').valid, false);
  assert.equal(tools.iban.run('x').valid, false);
});
