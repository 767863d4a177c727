// Zimmer 17: a registry of small pure tools. Two instances run; since the tools keep nothing, either may answer.

import { Problem, serve } from '../node/room.mjs';
import { tools } from './tools.mjs';

function useTool(name, input) {
  if (!Object.hasOwn(tools, name)) throw new Problem(404, `no such tool; one of ${Object.keys(tools).join(', ')}`);
  if (typeof input !== 'string') throw new Problem(422, '`input` is missing');
  try {
    return { tool: name, output: tools[name].run(input), instance: process.env.HAUS_INSTANCE ?? '1' };
  } catch (error) {
    throw new Problem(422, error.message);
  }
}

serve({
  german: 'Eine Sammlung kleiner reiner Werkzeuge: Text hinein, Ergebnis heraus.',
  english: 'A collection of small pure tools: text in, result out.',
  examples: ['/tools', '/tools/slug?input=Zimmer%20Siebzehn', '/tools/roman?input=2026', '/health'],
  checks: {
    tools: () => {
      for (const [name, tool] of Object.entries(tools)) {
        if (JSON.stringify(tool.run(tool.example.input)) !== JSON.stringify(tool.example.output)) {
          throw new Error(`${name} does not do what its example says`);
        }
      }
      return `${Object.keys(tools).length} tools do what their examples say`;
    },
  },
  routes: {
    'GET /tools': () => Object.entries(tools).map(([name, { about, example }]) => ({ name, about, example })),
    'GET /tools/:name': ({ name, query }) => useTool(name, query.input),
    'POST /tools/:name': ({ name, body }) => useTool(name, body.input),
  },
});
