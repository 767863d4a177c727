"""Zimmer 10: the knowledge library. Entries in German and English with PostgreSQL's own full text search."""

from typing import Literal

from fastapi import HTTPException, Query
from pydantic import BaseModel, Field
from room import Room
from stores import Postgres, StoreError

SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS bibliothek",
    "CREATE TABLE IF NOT EXISTS bibliothek.entry (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),"
    " language text NOT NULL, title text NOT NULL, body text NOT NULL, tags text[] NOT NULL DEFAULT '{}')",
    # The expression must be immutable to be indexed, hence two partial indexes with a constant configuration.
    "CREATE INDEX IF NOT EXISTS entry_de ON bibliothek.entry USING gin (to_tsvector('german', title || ' ' || body))"
    " WHERE language = 'de'",
    "CREATE INDEX IF NOT EXISTS entry_en ON bibliothek.entry USING gin (to_tsvector('english', title || ' ' || body))"
    " WHERE language = 'en'",
)
CONFIGURATION = {"de": "german", "en": "english"}
COLUMNS = "id, at, language, title, body, tags"

room = Room(
    "Die Bibliothek: Wissenseinträge auf Deutsch und Englisch, gesucht mit der Volltextsuche von PostgreSQL.",
    "The library: knowledge entries in German and English, searched with PostgreSQL's full text search.",
    ["/entries", "/search?q=haus&language=de", "/health"],
)
room.answers(StoreError, 503)
postgres = Postgres(SCHEMA)


class NewEntry(BaseModel):
    language: Literal["de", "en"]
    title: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=50_000)
    tags: list[str] = Field(default=[], max_items=10)


@room.check("postgres")
def postgres_answers() -> str:
    return postgres.ping()


@room.check("library")
def library_readable() -> str:
    return f"{postgres.query('SELECT count(*) AS entries FROM bibliothek.entry')[0]['entries']} entries"


@room.app.post("/entries", status_code=201)
def add(new: NewEntry):
    return postgres.change(
        f"INSERT INTO bibliothek.entry (language, title, body, tags) VALUES (%s, %s, %s, %s) RETURNING {COLUMNS}",
        (new.language, new.title, new.body, new.tags),
    )[0]


@room.app.get("/entries")
def listing(tag: str = "", limit: int = Query(20, ge=1, le=100)):
    return postgres.query(
        f"SELECT {COLUMNS} FROM bibliothek.entry WHERE %s = '' OR %s = ANY (tags) ORDER BY id DESC LIMIT %s",
        (tag, tag, limit),
    )


@room.app.get("/entries/{number}")
def one(number: int):
    found = postgres.query(f"SELECT {COLUMNS} FROM bibliothek.entry WHERE id = %s", (number,))
    if not found:
        raise HTTPException(404, "no such entry")
    return found[0]


@room.app.delete("/entries/{number}", status_code=204)
def remove(number: int):
    if not postgres.change("DELETE FROM bibliothek.entry WHERE id = %s RETURNING id", (number,)):
        raise HTTPException(404, "no such entry")


@room.app.get("/search")
def search(q: str = Query(min_length=2, max_length=200), language: Literal["de", "en"] = "de"):
    """Knows word stems: `Häuser` finds `Haus`."""
    configuration = CONFIGURATION[language]
    vector = f"to_tsvector('{configuration}', title || ' ' || body)"
    return postgres.query(
        f"SELECT id, title, ts_headline('{configuration}', body, query, 'StartSel=»,StopSel=«') AS excerpt"
        f" FROM bibliothek.entry, websearch_to_tsquery('{configuration}', %s) AS query"
        f" WHERE language = '{language}' AND {vector} @@ query ORDER BY ts_rank({vector}, query) DESC LIMIT 20",
        (q,),
    )


if __name__ == "__main__":
    room.serve()
