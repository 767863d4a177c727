// Zimmer 01: a tiny workflow engine. The plan's `config:` declares step lists over other rooms; this room runs them.

import { readFileSync } from 'node:fs';
import { call, coordinatorAnswers } from '../node/house.mjs';
import { Answer, Problem, serve } from '../node/room.mjs';
import { fill, pick } from './template.mjs';

const RUNS_KEPT = 100;
const { workflows } = JSON.parse(readFileSync(process.env.HAUS_CONFIG, 'utf8'));
const runs = [];
let lastId = 0;

/** Runs the steps in order; the first step that fails ends the run, and the answer says which and why. */
async function runWorkflow(name, input) {
  const known = { input };
  const steps = [];
  let error;
  for (const step of workflows[name].steps) {
    const started = performance.now();
    try {
      const path = fill(step.path, known, encodeURIComponent);
      const body = step.body === undefined ? undefined : fill(step.body, known);
      const answer = await call(step.room, path, { method: step.method ?? 'GET', body });
      const wanted = step.expect ?? 200;
      if (answer.status !== wanted) throw new Error(`answered ${answer.status}, expected ${wanted}`);
      known[step.name] = pick(answer.json(), step.keep);
    } catch (caught) {
      error = `${step.name}: ${caught.message}`;
    }
    const took_ms = Math.round(performance.now() - started);
    steps.push({ name: step.name, room: step.room, ok: error === undefined, took_ms });
    if (error !== undefined) break;
  }
  delete known.input;
  lastId += 1;
  const run = { id: lastId, workflow: name, ok: error === undefined, error, steps, kept: known };
  runs.unshift(run);
  runs.length = Math.min(runs.length, RUNS_KEPT);
  return run;
}

serve({
  german: 'Führt Abläufe aus, die im Plan stehen: Schritt für Schritt über andere Zimmer.',
  english: 'Runs the workflows which the plan declares: step by step over other rooms.',
  examples: ['/workflows', '/runs', '/health'],
  checks: {
    coordinator: coordinatorAnswers,
    workflows: () => `${Object.keys(workflows).length} declared`,
  },
  routes: {
    'GET /workflows': () => workflows,
    'POST /workflows/:name/runs': async ({ name, body }) => {
      if (!Object.hasOwn(workflows, name)) throw new Problem(404, 'no such workflow');
      const run = await runWorkflow(name, body);
      return new Answer(run.ok ? 201 : 502, run);
    },
    'GET /runs': () => runs,
  },
});
