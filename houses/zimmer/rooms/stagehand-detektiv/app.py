"""Zimmer 07: full text search over what this house says about itself: its documents and its plan files."""

import os
from pathlib import Path

from fastapi import HTTPException, Query
from index import DocumentIndex
from room import Room

FOLDER = Path(os.environ["DOCUMENTS"])

room = Room(
    "Durchsucht die Dokumente und Planteile dieses Hauses und zeigt die Fundstellen.",
    "Searches the documents and plan files of this house and shows where the words stand.",
    ["/search?q=Redis", "/search?q=Koordinator", "/documents", "/health"],
)
index = DocumentIndex()


@room.app.on_event("startup")
def read_documents() -> None:
    """The documents change only with the house itself, and then the room is started again."""
    for path in sorted([*FOLDER.glob("*.md"), *FOLDER.glob("*.yaml"), *FOLDER.glob("docs/*.md")]):
        index.add(str(path.relative_to(FOLDER)), path.read_text(encoding="utf-8"))


@room.check("index")
def index_answers() -> str:
    if not index.search("zimmer", 1):
        raise RuntimeError("the index does not even find the word zimmer")
    return f"{len(index.names())} documents"


@room.app.get("/documents")
def documents():
    return index.names()


@room.app.get("/search")
def search(q: str = Query(min_length=2, max_length=200), limit: int = Query(10, ge=1, le=50)):
    """The best places for all words of a query."""
    return {"query": q, "results": index.search(q, limit)}


@room.app.get("/documents/{name:path}")
def document(name: str):
    text = index.text(name)
    if text is None:
        raise HTTPException(404, "no such document")
    return {"name": name, "text": text}


if __name__ == "__main__":
    room.serve()
