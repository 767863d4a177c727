// Zimmer 02: the scheduler. The plan's `config:` declares what is due when; every tick is kept in a file of its
// data folder. It calls the other rooms through the gateway of the house, where its calls can be seen.

import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callThroughGateway, coordinatorAnswers } from '../node/house.mjs';
import { Problem, serve } from '../node/room.mjs';
import { nextRun } from './schedule.mjs';

const TICKS_KEPT = 200;
const FILE_BYTES_MAX = 256 * 1024;
// Node's timers cannot wait longer than 24.8 days; a day is far below and costs nothing.
const WAIT_MAX_MS = 24 * 60 * 60 * 1000;

const { schedules } = JSON.parse(readFileSync(process.env.HAUS_CONFIG, 'utf8'));
const file = join(process.env.TICKS, 'ticks.jsonl');
const due = new Map();
let ticks = readTicks();

/** The last ticks; a line that a crash left half written is skipped. */
function readTicks() {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  const found = [];
  for (const line of text.split('\n')) {
    try {
      if (line !== '') found.push(JSON.parse(line));
    } catch {
      process.stderr.write('a broken line of ticks.jsonl was skipped\n');
    }
  }
  return found.slice(-TICKS_KEPT);
}

function keep(tick) {
  ticks = [...ticks.slice(1 - TICKS_KEPT), tick];
  appendFileSync(file, `${JSON.stringify(tick)}\n`);
  if (statSync(file).size > FILE_BYTES_MAX) {
    writeFileSync(`${file}.new`, ticks.map((kept) => `${JSON.stringify(kept)}\n`).join(''));
    renameSync(`${file}.new`, file);
  }
}

async function runOnce(name) {
  const { room, path, method = 'POST' } = schedules[name];
  const started = performance.now();
  let outcome;
  try {
    const answer = await callThroughGateway(room, path, { method, body: method === 'POST' ? {} : undefined });
    outcome = answer.status < 400 ? 'done' : `answered ${answer.status}`;
  } catch (error) {
    outcome = error.message;
  }
  const tick = { name, at: new Date().toISOString(), outcome, took_ms: Math.round(performance.now() - started) };
  keep(tick);
  return tick;
}

function arm(name) {
  const at = nextRun(schedules[name], new Date());
  due.set(name, at);
  const wait = () => {
    const left = at.getTime() - Date.now();
    if (left > 0) return setTimeout(wait, Math.min(left, WAIT_MAX_MS)).unref();
    return runOnce(name).catch((error) => process.stderr.write(`${name}: ${error.message}\n`)).finally(() => arm(name));
  };
  wait();
}

Object.keys(schedules).forEach(arm);

serve({
  german: 'Der Zeitplan des Hauses: ruft zur rechten Zeit andere Zimmer und merkt sich jeden Lauf.',
  english: 'The schedule of the house: calls other rooms when they are due and remembers every run.',
  examples: ['/schedules', '/ticks', '/health'],
  checks: {
    coordinator: coordinatorAnswers,
    timers: () => {
      const late = [...due.values()].filter((at) => Date.now() - at.getTime() > 60_000).length;
      if (late > 0) throw new Error(`${late} schedules are more than a minute late`);
      return `${due.size} armed`;
    },
    ticks: () => `${ticks.length} kept`,
  },
  routes: {
    'GET /schedules': () => Object.entries(schedules).map(([name, plan]) => ({ name, ...plan, next: due.get(name) })),
    'GET /ticks': () => ticks.slice().reverse(),
    'POST /schedules/:name/runs': ({ name }) => {
      if (!Object.hasOwn(schedules, name)) throw new Problem(404, 'no such schedule');
      return runOnce(name);
    },
  },
});
