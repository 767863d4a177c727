// The tools. Each is a pure function from a text to a JSON value, with an example that is also its test.

import { createHash } from 'node:crypto';

const ROMAN = [
  [1000, 'M'], [900, 'CM'], [500, 'D'], [400, 'CD'], [100, 'C'], [90, 'XC'],
  [50, 'L'], [40, 'XL'], [10, 'X'], [9, 'IX'], [5, 'V'], [4, 'IV'], [1, 'I'],
];
const UMLAUTS = { ä: 'ae', ö: 'oe', ü: 'ue', ß: 'ss' };

function slug(input) {
  const spelled = input.toLowerCase().replace(/[äöüß]/g, (letter) => UMLAUTS[letter]);
  const plain = spelled.normalize('NFKD').replace(/\p{M}/gu, '');
  return plain.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

function roman(input) {
  let rest = Number(input);
  if (!Number.isInteger(rest) || rest < 1 || rest > 3999) throw new Error('a whole number from 1 to 3999');
  let text = '';
  for (const [value, sign] of ROMAN) {
    while (rest >= value) {
      text += sign;
      rest -= value;
    }
  }
  return text;
}

function iban(input) {
  const compact = input.replace(/\s/g, '').toUpperCase();
  if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(compact)) return { valid: false, reason: 'not the form of an IBAN' };
  const digits = [...compact.slice(4), ...compact.slice(0, 4)].map((sign) => parseInt(sign, 36)).join('');
  const valid = BigInt(digits) % 97n === 1n;
  return valid ? { valid, country: compact.slice(0, 2) } : { valid, reason: 'the check digits do not fit' };
}

function duration(input) {
  const seconds = Number(input);
  if (!Number.isInteger(seconds) || seconds < 0) throw new Error('a whole number of seconds');
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']];
  let rest = seconds;
  const named = [];
  for (const [size, unit] of parts) {
    if (rest >= size) named.push(`${Math.floor(rest / size)}${unit}`);
    rest %= size;
  }
  return named.join(' ') || '0s';
}

export const tools = {
  slug: {
    about: { de: 'Text als Adressteil', en: 'text as part of an address' },
    run: slug,
    example: { input: 'Größe & Façade', output: 'groesse-facade' },
  },
  roman: {
    about: { de: 'Zahl in römischen Ziffern', en: 'number in Roman numerals' },
    run: roman,
    example: { input: '2026', output: 'MMXXVI' },
  },
  iban: {
    about: { de: 'Prüfziffern einer IBAN', en: 'check digits of an IBAN' },
    run: iban,
    example: { input: 'DE89 3704 0044 0532 0130 00', output: { valid: true, country: 'DE' } },
  },
  duration: {
    about: { de: 'Sekunden lesbar', en: 'seconds made readable' },
    run: duration,
    example: { input: '93784', output: '1d 2h 3m 4s' },
  },
  sha256: {
    about: { de: 'SHA-256 eines Textes', en: 'SHA-256 of a text' },
    run: (input) => createHash('sha256').update(input).digest('hex'),
    example: { input: 'haus', output: '1a21f58f9570039d5e23f3619c8e9749bca19443fda30d6ebe352a90e69777cc' },
  },
  base64: {
    about: { de: 'Text in Base64', en: 'text in Base64' },
    run: (input) => Buffer.from(input, 'utf8').toString('base64'),
    example: { input: 'Zimmer', output: 'WmltbWVy' },
  },
};
