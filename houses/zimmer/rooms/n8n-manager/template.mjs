// `{{step.field}}` in paths and bodies, and which part of an answer a step keeps. Pure.

/** The value at a dotted path, or undefined. Only own fields count, so `constructor` finds nothing. */
export function lookUp(value, dotted) {
  let found = value;
  for (const part of dotted.split('.')) {
    if (found === null || typeof found !== 'object' || !Object.hasOwn(found, part)) return undefined;
    found = found[part];
  }
  return found;
}

/** Fills a text, or every text inside a tree. A text that is only one `{{…}}` keeps the type of its value. */
export function fill(template, known, encode = (text) => text) {
  if (Array.isArray(template)) return template.map((item) => fill(item, known, encode));
  if (template !== null && typeof template === 'object') {
    return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, fill(value, known, encode)]));
  }
  if (typeof template !== 'string') return template;
  const value = (dotted) => {
    const found = lookUp(known, dotted);
    if (found === undefined) throw new Error(`nothing is known as ${dotted}`);
    return found;
  };
  const whole = /^\{\{([\w.-]+)\}\}$/.exec(template);
  if (whole !== null) return value(whole[1]);
  return template.replace(/\{\{([\w.-]+)\}\}/g, (_, dotted) => {
    const found = value(dotted);
    return encode(typeof found === 'object' ? JSON.stringify(found) : String(found));
  });
}

/** Keeps the named parts of an answer; without names it keeps nothing. */
export function pick(answer, keep = {}) {
  return Object.fromEntries(Object.entries(keep).map(([name, dotted]) => [name, lookUp(answer, dotted)]));
}
