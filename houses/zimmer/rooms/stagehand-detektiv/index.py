"""A full text index of paragraphs in SQLite's FTS5, in memory. It knows no files and no HTTP."""

import sqlite3
import threading


class DocumentIndex:
    """Documents cut into paragraphs, so that a result can say the line where the words stand."""

    def __init__(self):
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.execute(
            "CREATE VIRTUAL TABLE paragraph USING fts5(name UNINDEXED, line UNINDEXED, text, tokenize='unicode61')"
        )
        self._texts: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        """Adds or replaces one document."""
        with self._lock:
            self._connection.execute("DELETE FROM paragraph WHERE name = ?", (name,))
            self._connection.executemany(
                "INSERT INTO paragraph (name, line, text) VALUES (?, ?, ?)",
                [(name, line, paragraph) for line, paragraph in paragraphs(text)],
            )
            self._texts[name] = text

    def names(self) -> list[str]:
        return sorted(self._texts)

    def text(self, name: str) -> str | None:
        return self._texts.get(name)

    def search(self, query: str, limit: int) -> list[dict]:
        """Paragraphs that hold all words, best first. The last word may be the beginning of one."""
        words = ['"' + word.replace('"', '""') + '"' for word in query.split()]
        if not words:
            return []
        with self._lock:
            rows = self._connection.execute(
                "SELECT name, line, snippet(paragraph, 2, '»', '«', ' … ', 16) FROM paragraph"
                " WHERE paragraph MATCH ? ORDER BY bm25(paragraph) LIMIT ?",
                (" ".join(words) + "*", limit),
            ).fetchall()
        return [{"document": name, "line": line, "text": " ".join(text.split())} for name, line, text in rows]


def paragraphs(text: str):
    """Yields (first line, paragraph) for blocks that are divided by empty lines."""
    block, first = [], 1
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            if not block:
                first = number
            block.append(line)
        elif block:
            yield first, "\n".join(block)
            block = []
    if block:
        yield first, "\n".join(block)
