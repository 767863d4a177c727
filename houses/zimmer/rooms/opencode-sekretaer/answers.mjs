// Chooses the template that shares most words with a question. Pure.

/** The words of a text that can carry meaning. */
export function words(text) {
  return new Set((text.toLowerCase().match(/\p{L}{3,}/gu) ?? []));
}

/** `{ answer, topic, sure }`: how much of the template's words the question holds, 0 where no template fits. */
export function answerFor(templates, question, language) {
  const asked = words(question);
  let best = { topic: 'unknown', hits: 0, of: 1 };
  for (const [topic, template] of Object.entries(templates)) {
    const hits = template.words.filter((word) => [...asked].some((one) => one.startsWith(word))).length;
    if (hits > best.hits) best = { topic, hits, of: template.words.length };
  }
  const text = best.hits === 0 ? templates.unknown.answer : templates[best.topic].answer;
  return { answer: text[language], topic: best.topic, sure: Number((best.hits / best.of).toFixed(2)) };
}
