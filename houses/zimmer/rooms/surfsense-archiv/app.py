"""Zimmer 15: the archive. Documents in SQLite, found by likeness (TF-IDF and cosine), not by exact words."""

import os
import sqlite3
import threading
from pathlib import Path

from fastapi import HTTPException, Query
from likeness import length, rank, terms
from pydantic import BaseModel, Field
from room import Room

DOCUMENTS_MAX = 5_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, length REAL NOT NULL);
CREATE TABLE IF NOT EXISTS term (
    word TEXT NOT NULL, document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE, count INTEGER NOT NULL,
    PRIMARY KEY (word, document)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS term_by_document ON term (document);
"""

room = Room(
    "Das Archiv: bewahrt Texte auf und findet die, die einer Frage am ähnlichsten sind.",
    "The archive: keeps texts and finds those that are most like a question.",
    ["/documents", "/similar?q=Wer%20hütet%20das%20Haus", "/health"],
)
lock = threading.Lock()
database = sqlite3.connect(Path(os.environ["ARCHIVE"]) / "archive.sqlite", check_same_thread=False)
database.executescript("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;" + SCHEMA)


class NewDocument(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=100_000)


def rows(statement: str, arguments=()) -> list[tuple]:
    with lock:
        return database.execute(statement, arguments).fetchall()


@room.check("archive")
def archive_readable() -> str:
    return f"{rows('SELECT count(*) FROM document')[0][0]} documents"


@room.app.post("/documents", status_code=201)
def add(new: NewDocument):
    counted = terms(f"{new.title} {new.text}")
    with lock, database:
        if database.execute("SELECT count(*) FROM document").fetchone()[0] >= DOCUMENTS_MAX:
            raise HTTPException(507, f"the archive holds at most {DOCUMENTS_MAX} documents")
        number = database.execute(
            "INSERT INTO document (title, text, length) VALUES (?, ?, ?)", (new.title, new.text, length(counted))
        ).lastrowid
        database.executemany("INSERT INTO term VALUES (?, ?, ?)", [(word, number, n) for word, n in counted.items()])
    return {"id": number, "title": new.title, "terms": len(counted)}


@room.app.get("/documents")
def listing(limit: int = Query(50, ge=1, le=500)):
    found = rows("SELECT id, title, length(text) FROM document ORDER BY id DESC LIMIT ?", (limit,))
    return [{"id": number, "title": title, "characters": characters} for number, title, characters in found]


@room.app.get("/documents/{number}")
def one(number: int):
    found = rows("SELECT id, title, text FROM document WHERE id = ?", (number,))
    if not found:
        raise HTTPException(404, "no such document")
    return dict(zip(("id", "title", "text"), found[0]))


@room.app.delete("/documents/{number}", status_code=204)
def remove(number: int):
    with lock, database:
        if not database.execute("DELETE FROM document WHERE id = ?", (number,)).rowcount:
            raise HTTPException(404, "no such document")


@room.app.get("/similar")
def similar(q: str = Query(min_length=2, max_length=2_000), limit: int = Query(5, ge=1, le=20)):
    """The documents most like the question, with a score from 0 to 1."""
    asked = terms(q)
    marks = ",".join("?" * len(asked))
    spread = dict(rows(f"SELECT word, count(*) FROM term WHERE word IN ({marks}) GROUP BY word", tuple(asked)))
    hits = rows(
        "SELECT document.id, length, word, count FROM term JOIN document ON document.id = term.document"
        f" WHERE word IN ({marks})",
        tuple(asked),
    )
    best = rank(asked, spread, rows("SELECT count(*) FROM document")[0][0], hits)[:limit]
    titles = {number: rows("SELECT title FROM document WHERE id = ?", (number,)) for number, _ in best}
    return [
        {"id": number, "title": titles[number][0][0], "score": round(score, 4)}
        for number, score in best
        if titles[number]
    ]


if __name__ == "__main__":
    room.serve()
