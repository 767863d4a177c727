// How a Node room becomes and stays a member of its house, against a fake coordinator that can be told to fail.
// The fake is no proof of the real API; that is crates/haus/tests/it, where the rooms meet the real coordinator.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { call, callThroughGateway, coordinatorAnswers, identified } from '../rooms/node/house.mjs';
import { interval, Member } from '../rooms/node/member.mjs';

const NAME = 'zimmer-17-sin-plugins';

/** What a member needs, in memory; `instead` maps paths to answers that are given in place of the usual ones. */
class FakeCoordinator {
  enrolments = new Set(['haus_en_one']);
  expiresIn = 900;
  asked = [];
  loads = [];
  instead = {};
  issued = 0;

  async start() {
    this.server = createServer(async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      const [status, body] = this.answer(request, text === '' ? undefined : JSON.parse(text));
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(body === undefined ? '' : JSON.stringify(body));
      this.server.emit('asked');
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  answer({ method, url, headers }, body) {
    this.asked.push(`${method} ${url}`);
    if (this.instead[url]) return this.instead[url];
    if (url === '/api/identity/enrol') return this.enrolments.delete(body.token) ? this.tokens() : [401, { code: 'unauthorized' }];
    if (url === '/api/identity/refresh') return body.refresh_token === this.refresh ? this.tokens() : [401, { code: 'unauthorized' }];
    const known = headers.authorization === `Bearer ${this.access}`;
    if (url.startsWith('/api/discover')) {
      return known || headers.authorization === undefined
        ? [200, { address: '127.0.0.1', port: this.server.address().port }]
        : [401, {}];
    }
    if (url.startsWith('/reached')) return [200, { method }];
    if (!known) return [401, { code: 'unauthorized' }];
    if (url.startsWith('/api/gateway/proxy/')) return [200, { method, body }];
    const seen = { id: `${NAME}/1`, heartbeat_interval_s: 30 };
    if (url === '/api/services/register') return [201, ((this.registered = body), seen)];
    if (method === 'DELETE') return [204, ((this.registered = undefined), undefined)];
    if (this.registered === undefined) return [404, { code: 'not-found' }];
    this.loads.push(body.load);
    return [200, seen];
  }

  tokens() {
    this.issued += 1;
    this.access = `access-${this.issued}`;
    this.refresh = `refresh-${this.issued}`;
    return [200, { access_token: this.access, refresh_token: this.refresh, expires_in: this.expiresIn }];
  }

  /** Waits until a request made this true. */
  async until(condition) {
    const signal = AbortSignal.timeout(10_000);
    while (!condition()) await once(this.server, 'asked', { signal });
  }
}

/** Runs `body` with a fake coordinator, a member, and a file for its one-time token; gives what was logged. */
async function withMember(body) {
  const fake = new FakeCoordinator();
  const folder = mkdtempSync(join(tmpdir(), 'member-'));
  const enrolment = join(folder, 'HAUS_ENROLMENT');
  const deliver = (token) => writeFileSync(enrolment, `${token}\n`);
  deliver('haus_en_one');
  process.env.HAUS_API = await fake.start();
  const write = process.stderr.write;
  let log = '';
  process.stderr.write = (text) => ((log += text), true);
  try {
    const clock = { now: 0 };
    const member = new Member({ name: NAME, port: 4711, load: () => 0.25, enrolment, now: () => clock.now });
    await body({ fake, clock, member, deliver, log: () => log });
  } finally {
    process.stderr.write = write;
    fake.server.close();
    fake.server.closeAllConnections();
    rmSync(folder, { recursive: true });
    delete process.env.HAUS_API;
    identified.headers = () => ({});
  }
}

test('a member enrols, registers and sends its load', () =>
  withMember(async ({ fake, member }) => {
    assert.deepEqual([await member.step(), await member.step()], [30_000, 30_000]);
    assert.deepEqual(fake.asked.slice(0, 2), ['POST /api/identity/enrol', 'POST /api/services/register']);
    assert.deepEqual([fake.registered.port, fake.registered.health_endpoint], [4711, '/health']);
    assert.deepEqual([fake.loads, member.state], [[0.25], `registered as ${NAME}/1`]);
  }));

test('a member registers again when the coordinator forgot it', () =>
  withMember(async ({ fake, member }) => {
    await member.step();
    fake.registered = undefined;
    assert.deepEqual([await member.step(), await member.step()], [0, 30_000]);
    assert.equal(fake.registered.name, NAME);
  }));

test('tokens are exchanged before they end', () =>
  withMember(async ({ fake, clock, member }) => {
    await member.step();
    clock.now = 0.79 * 900_000;
    await member.step();
    assert.equal(fake.issued, 1);
    clock.now = 0.81 * 900_000;
    await member.step();
    assert.deepEqual([fake.issued, fake.asked.at(-2), fake.loads.length], [2, 'POST /api/identity/refresh', 2]);
    clock.now = 5 * 900_000;
    assert.deepEqual(member.headers(), {});
  }));

test('a used one-time token is shown once, and a new one opens the door', () =>
  withMember(async ({ fake, member, deliver }) => {
    fake.enrolments.clear();
    await member.step();
    assert.ok((await member.step()) >= 60_000);
    assert.deepEqual(fake.asked, ['POST /api/identity/enrol']);
    fake.enrolments.add('haus_en_two');
    deliver('haus_en_two');
    assert.equal(await member.step(), 30_000);
  }));

test('a session that was ended leads back to the one-time token, and no token is in the log', () =>
  withMember(async ({ fake, member, deliver, log }) => {
    await member.step();
    fake.access = fake.refresh = 'ended';
    await member.step();
    await member.step();
    deliver('haus_en_two');
    fake.enrolments.add('haus_en_two');
    assert.equal(await member.step(), 30_000);
    assert.equal(fake.asked.filter((asked) => asked.endsWith('enrol')).length, 2);
    for (const secret of ['access-', 'refresh-', 'haus_en_']) assert.ok(!(log() + member.state).includes(secret));
  }));

test('pauses grow while nobody answers, one line is logged, and a wish to be left alone is kept', () =>
  withMember(async ({ fake, member, log }) => {
    const url = process.env.HAUS_API;
    process.env.HAUS_API = 'http://127.0.0.1:9';
    const pauses = [];
    for (let count = 0; count < 9; count += 1) pauses.push(await member.step());
    assert.ok(pauses[0] >= 500 && pauses[0] <= 1_000 && pauses[8] >= 30_000 && pauses[8] <= 60_000, pauses.join());
    assert.equal(log().trim().split('\n').length, 1, log());
    process.env.HAUS_API = url;
    fake.instead['/api/identity/enrol'] = [429, { code: 'too-many-requests', retry_after_s: 200 }];
    assert.ok((await member.step()) >= 200_000);
  }));

test('an answer that nobody can read is a failure like others', () =>
  withMember(async ({ fake, member, deliver }) => {
    for (const answer of [[], {}, 'text', { access_token: 1, refresh_token: 'r', expires_in: 9 }]) {
      deliver(`haus_en_${fake.asked.length}`);
      fake.instead['/api/identity/enrol'] = [200, answer];
      assert.ok((await member.step()) > 0);
      assert.deepEqual(member.headers(), {});
    }
    assert.throws(() => interval({}), /without heartbeat interval/);
    assert.deepEqual([interval({ heartbeat_interval_s: 0 }), interval({ heartbeat_interval_s: 1e9 })], [1_000, 300_000]);
  }));

test('a started member registers by itself and leaves once', () =>
  withMember(async ({ fake, member }) => {
    member.start();
    await fake.until(() => fake.registered !== undefined);
    await Promise.all([member.leave(), member.leave()]);
    assert.equal(fake.registered, undefined);
    assert.equal(fake.asked.filter((asked) => asked.startsWith('DELETE')).length, 1);
  }));

test('without a coordinator or a token the room goes on', () =>
  withMember(async ({ fake, member, deliver }) => {
    assert.equal(Member.fromEnvironment(NAME, 1, {}), undefined);
    deliver('');
    assert.ok((await member.step()) >= 60_000);
    assert.deepEqual(fake.asked, []);
    process.env.HAUS_API = 'http://127.0.0.1:9';
    assert.match(await coordinatorAnswers(), /called where they were last/);
  }));

test('rooms are found as a member, as a stranger when that is refused, and where they were last', () =>
  withMember(async ({ fake, member }) => {
    await member.step();
    identified.headers = () => member.headers();
    assert.equal((await call('zimmer-01-n8n-manager', '/reached')).status, 200);
    fake.access = 'another';
    assert.equal((await call('zimmer-01-n8n-manager', '/reached')).status, 200);
    fake.instead['/api/discover?service=zimmer-01-n8n-manager'] = [503, {}];
    assert.equal((await call('zimmer-01-n8n-manager', '/reached')).status, 200);
    fake.instead['/api/discover?service=zimmer-02-chronos-stratege'] = [404, {}];
    await assert.rejects(call('zimmer-02-chronos-stratege', '/reached'), /does not know/);
  }));

test('a call through the gateway carries method, body and who asks', () =>
  withMember(async ({ fake, member }) => {
    await member.step();
    identified.headers = () => member.headers();
    const answer = await callThroughGateway('zimmer-08-qa-pruefer', '/runs', { method: 'POST', body: { a: 1 } });
    assert.deepEqual([answer.status, answer.json()], [200, { method: 'POST', body: { a: 1 } }]);
    assert.equal(fake.asked.at(-1), 'POST /api/gateway/proxy/zimmer-08-qa-pruefer/runs');
  }));
