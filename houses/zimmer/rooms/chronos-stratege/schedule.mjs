// When something is due next. Pure: the present moment is an argument.

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `10m` as milliseconds. */
export function durationMs(text) {
  const found = /^(\d+)([smhd])$/.exec(text);
  if (found === null || Number(found[1]) === 0) throw new Error(`${text} is not a duration like 30s, 10m, 2h or 1d`);
  return Number(found[1]) * UNIT_MS[found[2]];
}

/** The next moment after `now` for `{ every: '10m' }` or `{ at: '06:30' }` (UTC). */
export function nextRun(plan, now) {
  if (plan.every !== undefined) {
    // Counted from the epoch and not from the start of the process, so a restart does not shift the times.
    const every = durationMs(plan.every);
    return new Date((Math.floor(now.getTime() / every) + 1) * every);
  }
  const found = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(plan.at ?? '');
  if (found === null) throw new Error('a schedule needs `every: 10m` or `at: "06:30"`');
  const next = new Date(now);
  next.setUTCHours(Number(found[1]), Number(found[2]), 0, 0);
  if (next <= now) next.setUTCDate(next.getUTCDate() + 1);
  return next;
}
