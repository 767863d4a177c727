// Statistics over health samples. Pure.

/** What counts of the coordinator's answer: `{ room: { status, since } }`. */
export function sampleOf(answer) {
  return Object.fromEntries(answer.services.map(({ name, status, since }) => [name, { status, since }]));
}

/** The share of samples in which everything was healthy, and per room; the most restless rooms first. */
export function statistics(samples) {
  const rooms = {};
  let allHealthy = 0;
  for (const sample of samples) {
    const seen = Object.entries(sample.rooms);
    if (seen.every(([, { status }]) => status === 'healthy')) allHealthy += 1;
    for (const [name, { status, since }] of seen) {
      const room = (rooms[name] ??= { samples: 0, healthy: 0, changes: 0, last: undefined });
      room.samples += 1;
      if (status === 'healthy') room.healthy += 1;
      // `since` moves as well when a room was away and back again between two samples.
      if (room.last !== undefined && (room.last.status !== status || room.last.since !== since)) room.changes += 1;
      room.last = { status, since };
    }
  }
  const list = Object.entries(rooms).map(([name, room]) => ({
    name,
    status: room.last.status,
    since: room.last.since,
    samples: room.samples,
    healthy_share: share(room.healthy, room.samples),
    changes: room.changes,
  }));
  list.sort((left, right) => right.changes - left.changes || left.name.localeCompare(right.name));
  return {
    from: samples[0]?.at ?? null,
    to: samples.at(-1)?.at ?? null,
    samples: samples.length,
    all_healthy_share: share(allHealthy, samples.length),
    rooms: list,
  };
}

function share(part, whole) {
  return whole === 0 ? null : Number((part / whole).toFixed(4));
}
