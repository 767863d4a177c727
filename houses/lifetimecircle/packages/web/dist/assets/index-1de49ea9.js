'use strict';
// Shows what the API answers through the gateway. Texts from the API are only ever written as text.
const language = navigator.language.startsWith('de') ? 'de' : 'en';
const texts = {
  de: { title: 'Serviceheft', lead: 'Stellvertreter der Anwendung dieses Hauses.', api: 'API', blog: 'Artikel', good: 'antwortet', bad: 'antwortet nicht' },
  en: { title: 'Service book', lead: 'Stand-in for the application of this house.', api: 'API', blog: 'Articles', good: 'answers', bad: 'does not answer' },
}[language];

function line(list, term, text, className) {
  const [name, value] = [document.createElement('dt'), document.createElement('dd')];
  name.textContent = term;
  value.textContent = text;
  if (className) value.className = className;
  list.append(name, value);
}

async function ask(path) {
  const answer = await fetch(path);
  // The web answers unknown paths with this very page, so the status alone proves nothing.
  if (!answer.ok || !(answer.headers.get('content-type') ?? '').includes('json')) throw new Error(path);
  return answer.json();
}

async function show() {
  const root = document.getElementById('root');
  const [head, lead, list] = ['h1', 'p', 'dl'].map((tag) => document.createElement(tag));
  document.documentElement.lang = language;
  head.textContent = texts.title;
  lead.textContent = texts.lead;
  root.replaceChildren(head, lead, list);
  try {
    const { ok } = await ask('/api/health');
    line(list, texts.api, ok ? texts.good : texts.bad, ok ? 'good' : 'bad');
    for (const article of await ask('/api/blog')) line(list, texts.blog, article.title[language]);
  } catch {
    line(list, texts.api, texts.bad, 'bad');
  }
}

show();
