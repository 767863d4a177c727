// The room as a member of its house: it enrols with its one-time token, registers, tells how busy it is, and leaves.
// All of it happens beside the room's work, with pauses that grow while nobody answers: a room works without the
// coordinator. Tokens stay in memory and are never printed. The API's document is docs/api.md of the repository.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { coordinator } from './house.mjs';

const PAUSE_FIRST_MS = 1_000;
const PAUSE_MOST_MS = 60_000;
// Beats that the coordinator may ask for; whatever else it says, a room neither storms nor forgets it.
const INTERVAL_LEAST_S = 1;
const INTERVAL_MOST_S = 300;
const LEAVE_WITHIN_MS = 1_500;
// An access token is exchanged when a fifth of its life is left.
const RENEW_AT = 0.8;
/** The same token will not be taken another time. */
const FINAL = [400, 401, 403, 409, 410, 422];

/** The coordinator said no. */
class Refused extends Error {
  constructor(path, answer) {
    let problem = {};
    try {
      problem = answer.json() ?? {};
    } catch {
      problem = { code: 'no problem document' };
    }
    // The code is one of a fixed list; the detail is not repeated, it may name things that are nobody's business.
    super(`${path} answered ${answer.status} ${String(problem.code ?? '').slice(0, 40)}`.trimEnd());
    this.status = answer.status;
    this.pauseMs = 1000 * Math.min(INTERVAL_MOST_S, Number(problem.retry_after_s) || 0);
  }
}

/** Milliseconds until the next heartbeat, as the coordinator asks and within reason. */
export function interval(answer) {
  const seconds = Number(answer.heartbeat_interval_s);
  if (!Number.isFinite(seconds)) throw new Error('an answer without heartbeat interval');
  return 1000 * Math.min(INTERVAL_MOST_S, Math.max(INTERVAL_LEAST_S, seconds));
}

/** How busy the event loop was since the last question, 0 to 1. */
export function loopShare() {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/** Everything that one instance says to the coordinator. `step` does one act; `start` runs the steps. */
export class Member {
  #enrolment;
  #spent;
  #access;
  #refresh;
  #renewAt = 0;
  #endsAt = 0;
  #registered = false;
  #failures = 0;
  #timer;
  #step = Promise.resolve();
  #leaving;

  constructor({ name, port, load = loopShare(), version = '1.0.0', enrolment = '', now = () => performance.now() }) {
    Object.assign(this, { name, port, load, version, now, state: 'not registered yet' });
    this.#enrolment = enrolment;
  }

  /** Undefined when there is no coordinator to talk to. */
  static fromEnvironment(name, port, environment = process.env) {
    if (!environment.HAUS_API) return undefined;
    const folder = environment.CREDENTIALS_DIRECTORY;
    const beside = folder ? join(folder, 'HAUS_ENROLMENT') : '';
    return new Member({ name, port, enrolment: environment.HAUS_ENROLMENT_FILE ?? beside });
  }

  /** The header that says who asks; empty while that is not known. */
  headers() {
    const known = this.#access !== undefined && this.now() < this.#endsAt;
    return known ? { authorization: `Bearer ${this.#access}` } : {};
  }

  /** Begins; the timer alone does not keep the process alive. */
  start() {
    const next = () => {
      this.#step = this.step().then((pause) => {
        if (this.#leaving === undefined) this.#timer = setTimeout(next, pause).unref();
      });
    };
    next();
  }

  /** Deregisters, once and within a moment. */
  leave() {
    this.#leaving ??= this.#deregister();
    return this.#leaving;
  }

  /** One act towards being known; gives the milliseconds until the next one. Never throws. */
  async step() {
    try {
      if (this.#access === undefined || this.now() >= this.#renewAt) await this.#comeIn();
      const pause = this.#registered ? await this.#heartbeat() : await this.#register();
      this.#failures = 0;
      return pause;
    } catch (error) {
      this.#failures += 1;
      const grown = Math.min(PAUSE_MOST_MS, PAUSE_FIRST_MS * 2 ** Math.min(this.#failures - 1, 10));
      this.#tell(this.#registered ? `registered, but: ${error.message}` : `not registered: ${error.message}`);
      // Rooms that lost the coordinator at the same moment do not come back at the same moment.
      return Math.max(grown * (0.5 + Math.random() / 2), error.pauseMs ?? 0);
    }
  }

  /** Gets an access token: for the refresh token, else for the one-time token that the house delivered. */
  async #comeIn() {
    const tokens = (await this.#refreshed()) ?? (await this.#enrolled());
    const lifeMs = 1000 * Number(tokens.expires_in);
    const [access, refresh] = [tokens.access_token, tokens.refresh_token];
    if (!(lifeMs > 0) || typeof access !== 'string' || typeof refresh !== 'string') {
      throw new Error('an answer without tokens');
    }
    this.#access = access;
    this.#refresh = refresh;
    this.#renewAt = this.now() + RENEW_AT * lifeMs;
    this.#endsAt = this.now() + lifeMs;
  }

  async #refreshed() {
    if (this.#refresh === undefined) return undefined;
    try {
      return await this.#ask('POST', '/api/identity/refresh', { refresh_token: this.#refresh });
    } catch (error) {
      if (!FINAL.includes(error.status)) throw error;
      // Ended by somebody: only a new one-time token opens the door again.
      this.#access = undefined;
      this.#refresh = undefined;
      return undefined;
    }
  }

  async #enrolled() {
    const token = this.#oneTimeToken();
    try {
      const tokens = await this.#ask('POST', '/api/identity/enrol', { token });
      this.#spent = token;
      return tokens;
    } catch (error) {
      if (FINAL.includes(error.status)) this.#spent = token;
      throw error;
    }
  }

  #oneTimeToken() {
    const later = (why) => Object.assign(new Error(why), { pauseMs: PAUSE_MOST_MS });
    let token = '';
    try {
      if (this.#enrolment) token = readFileSync(this.#enrolment, 'utf8').trim();
    } catch (error) {
      throw later(`the one-time token cannot be read: ${error.code}`);
    }
    if (token === '') throw later('the house delivered no one-time token');
    // Showing it again would only be counted as an attack.
    if (token === this.#spent) throw later('the one-time token is used; a new one comes with the next start');
    return token;
  }

  async #register() {
    const body = {
      name: this.name,
      port: this.port,
      version: this.version,
      health_endpoint: '/health',
      metadata: { language: 'JavaScript' },
    };
    // The answer holds this room's credentials as well; they are in its files already and not kept here.
    const answer = await this.#ask('POST', '/api/services/register', body);
    this.#registered = true;
    this.#tell(`registered as ${answer.id}`);
    return interval(answer);
  }

  async #heartbeat() {
    const load = Math.round(1000 * Math.min(1, Math.max(0, this.load()))) / 1000;
    try {
      const answer = await this.#ask('POST', `/api/services/${this.name}/heartbeat`, { load });
      this.#tell(`registered as ${answer.id}`);
      return interval(answer);
    } catch (error) {
      if (error.status !== 404) throw error;
      // A coordinator that lost its memory: register again at once.
      this.#registered = false;
      return 0;
    }
  }

  async #deregister() {
    clearTimeout(this.#timer);
    const late = new Promise((resolve) => setTimeout(resolve, LEAVE_WITHIN_MS).unref());
    // A registration under way is finished first: deregistering before it would leave the entry behind.
    await Promise.race([this.#step, late]);
    if (!this.#registered) return;
    this.#registered = false;
    try {
      await this.#ask('DELETE', `/api/services/${this.name}`, undefined, LEAVE_WITHIN_MS);
      this.#tell('deregistered');
    } catch {
      // Its entry ages out; an end is not delayed for it.
      this.#tell('left without a word');
    }
  }

  async #ask(method, path, body, timeoutMs) {
    // Who comes in has no valid token yet, and an old one would be refused before the new one is looked at.
    const more = path.startsWith('/api/identity/') ? {} : this.headers();
    const answer = await coordinator(path, { method, body, more, timeoutMs });
    if (answer.status >= 200 && answer.status < 300) return answer.text === '' ? {} : answer.json();
    if (answer.status === 401) this.#access = undefined;
    throw new Refused(path, answer);
  }

  /** One line per change, not one per try. */
  #tell(state) {
    if (state === this.state) return;
    this.state = state;
    process.stderr.write(`member: ${state}\n`);
  }
}
