// The pure part of the dashboard's page, cut out of the file as it is served.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

const page = readFileSync(new URL('../rooms/dashboard-zentrale/page/index.html', import.meta.url), 'utf8');
const pure = page.slice(page.indexOf('// --- pure'), page.indexOf('// --- end of the pure part ---'));
const { merge, arrange, choose, ago, describe, TEXTS } = runInNewContext(
  `${pure}; ({ merge, arrange, choose, ago, describe, TEXTS });`,
  {},
);
// Values of another realm have other prototypes; as JSON they compare.
const same = (left, right) => assert.equal(JSON.stringify(left), JSON.stringify(right));

const rooms = merge(
  {
    services: [
      { name: 'zimmer-02', about: 'second', status: 'healthy', urls: ['javascript:alert(1)', 'http://a'], instances: [] },
      { name: 'zimmer-01', about: 'first', status: 'healthy', dependencies: ['zimmer-02'], instances: [] },
      { name: 'zimmer-03', status: 'strange' },
    ],
  },
  { services: [{ name: 'zimmer-02', status: 'offline', since: '2026-11-21T03:00:00Z', why: 'no answer' }] },
);

test('the reason comes from health, the rest from the registry', () => {
  same([rooms[0].status, rooms[0].why, rooms[0].url], ['offline', 'no answer', 'http://a']);
  same([rooms[1].status, rooms[1].needs, rooms[1].url], ['healthy', ['zimmer-02'], null]);
  same([rooms[2].status, rooms[2].about], ['unknown', '']);
});

test('what is unwell stands first', () => {
  same(arrange(rooms).map((room) => room.name), ['zimmer-02', 'zimmer-03', 'zimmer-01']);
});

test('the filter looks at names, texts and reasons', () => {
  const names = (filter, only) => choose(rooms, filter, only, 'en').map((room) => room.name);
  same(names('no answer', false), ['zimmer-02']);
  same(names('zimmer fir', false), ['zimmer-01']);
  same(names('', true), ['zimmer-02', 'zimmer-03']);
});

test('times are told in one unit', () => {
  same([0, 59_000, 61_000, 7_300_000, 172_800_000].map((ms) => ago(0, ms)), ['0 s', '59 s', '1 min', '2 h', '2 d']);
});

test('both languages have every text', () => {
  same(Object.keys(TEXTS.de).sort(), Object.keys(TEXTS.en).sort());
});

test('German falls back to the text of the plan', () => {
  assert.equal(describe({ name: 'zimmer-99', about: 'plan' }, 'de'), 'plan');
  assert.notEqual(describe({ name: 'zimmer-17-sin-plugins', about: 'plan' }, 'de'), 'plan');
});

test('nothing is ever written as markup and nothing comes from elsewhere', () => {
  assert.ok(!/innerHTML|insertAdjacentHTML|document\.write/.test(page));
  assert.ok(!/(src|href)="(https?:)?\/\//.test(page));
});
