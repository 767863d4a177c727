// Zimmer 12: reads the health of every room from the coordinator and computes statistics over the last samples.

import { readFileSync } from 'node:fs';
import { coordinator, coordinatorAnswers } from '../node/house.mjs';
import { Answer, Problem, serve } from '../node/room.mjs';
import { sampleOf, statistics } from './statistics.mjs';

const { samples: SAMPLES_KEPT, every_s: EVERY_S } = JSON.parse(readFileSync(process.env.HAUS_CONFIG, 'utf8'));
const samples = [];

async function takeSample() {
  const answer = await coordinator('/api/health/services');
  if (answer.status !== 200) throw new Problem(502, `the coordinator answered ${answer.status}`);
  const sample = { at: new Date().toISOString(), rooms: sampleOf(answer.json()) };
  samples.push(sample);
  if (samples.length > SAMPLES_KEPT) samples.shift();
  return sample;
}

function sampleAgain() {
  takeSample().catch((error) => process.stderr.write(`no sample: ${error.message}\n`));
}

sampleAgain();
setInterval(sampleAgain, EVERY_S * 1000).unref();

serve({
  german: 'Rechnet aus den Gesundheitsmeldungen aller Zimmer, wie oft sie gesund waren und wie oft sie wechselten.',
  english: 'Computes from the health of all rooms how often they were healthy and how often they changed.',
  examples: ['/statistics', '/samples', '/health'],
  checks: {
    coordinator: coordinatorAnswers,
    samples: () => `${samples.length} of ${SAMPLES_KEPT} kept`,
  },
  routes: {
    'GET /statistics': () => statistics(samples),
    'GET /samples': () => samples.slice(-20).reverse(),
    'POST /samples': async () => new Answer(201, await takeSample()),
  },
});
