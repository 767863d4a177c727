// What a message and a recipient look like. Pure.

const TEXT_CHARACTERS_MAX = 4_000;

export function validRecipient(name) {
  return /^[a-z0-9-]{1,40}$/.test(name);
}

/** An empty text for a good message, otherwise what is wrong with it. */
export function validMessage(message) {
  if (!validRecipient(message?.from ?? '')) return '`from` is 1 to 40 lower-case letters, digits or dashes';
  if (typeof message.text !== 'string' || message.text === '') return '`text` is missing';
  if (message.text.length > TEXT_CHARACTERS_MAX) return `\`text\` has at most ${TEXT_CHARACTERS_MAX} characters`;
  return '';
}

/** Redis stream entries (`[id, [field, value, …]]`) as messages; the id starts with the time in milliseconds. */
export function fromStream(entries) {
  return entries.map(([id, fields]) => {
    const message = { id, at: new Date(Number(id.split('-')[0])).toISOString() };
    for (let at = 0; at < fields.length; at += 2) message[fields[at]] = fields[at + 1];
    return message;
  });
}
