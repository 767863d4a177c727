"""TF-IDF and cosine likeness over word counts. Pure.

The weighting is the one known as lnc.ltc: a document counts its words by the logarithm of their frequency, a question
also by their rarity. So the length of a document never changes when others come or go, and can be stored beside it.
"""

import math
import re
from collections import Counter

WORD = re.compile(r"[^\W\d_]{2,}")
TERMS_MAX = 500


def terms(text: str) -> dict[str, int]:
    """The most frequent words of a text with how often they stand there."""
    return dict(Counter(word.lower() for word in WORD.findall(text)).most_common(TERMS_MAX))


def weight(count: int) -> float:
    """Ten times the same word is more than once, but not ten times as much."""
    return 1 + math.log(count)


def length(counts: dict[str, int]) -> float:
    """The length of a document's vector."""
    return math.sqrt(sum(weight(count) ** 2 for count in counts.values()))


def rank(asked: dict[str, int], spread: dict[str, int], total: int, hits: list[tuple[int, float, str, int]]):
    """(document, score from 0 to 1) pairs, best first.

    `spread` says in how many of the `total` documents a word stands; `hits` are (document, its length, word, count)
    for the words of the question. Documents without a shared word do not appear.
    """
    rarity = {word: math.log((1 + total) / (1 + spread.get(word, 0))) + 1 for word in asked}
    question = {word: weight(count) * rarity[word] for word, count in asked.items()}
    question_length = math.sqrt(sum(value**2 for value in question.values()))
    scores: dict[int, float] = {}
    for document, document_length, word, count in hits:
        part = question[word] * weight(count) / (question_length * document_length)
        scores[document] = scores.get(document, 0.0) + part
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
