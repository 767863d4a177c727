"""Zimmer 06: looks at pages of this house and says what a careful reviewer would criticise. Zimmer 05 fetches them."""

import os
from urllib.parse import quote

import house
from fastapi import Query
from judge import judge
from room import Room

FETCHER = ("zimmer-05-steel-tarnkappe", os.environ["FETCHER_ADDRESS"], int(os.environ["FETCHER_PORT"]))

room = Room(
    "Prüft Seiten dieses Hauses: Titel, Sprache, Handy-Ansicht, Bildtexte und ob Verweise im Haus ankommen.",
    "Checks pages of this house: title, language, phone view, image texts, and whether links inside the house arrive.",
    ["/check?room=zimmer-11-dashboard-zentrale&path=/", "/check?room=zimmer-06-skyvern-auge&path=/", "/health"],
)
room.answers(house.HouseError, 502)


@room.check("zimmer-05-steel-tarnkappe")
def fetcher_answers() -> str:
    answer = house.request(FETCHER[1], FETCHER[2], "/")
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}")
    return "answers 200"


def fetch(of: str, path: str) -> dict:
    """One page through zimmer-05."""
    answer = house.request(FETCHER[1], FETCHER[2], f"/page?room={quote(of)}&path={quote(path, safe='/')}")
    if answer.status != 200:
        raise house.HouseError(f"{FETCHER[0]} could not fetch {of}{path}")
    return answer.json()


@room.app.get("/check")
def check(of: str = Query(alias="room"), path: str = "/"):
    """Findings about one page; an empty list is a clean page."""
    page = fetch(of, path)
    findings = judge(page, lambda target: fetch(of, target)["status"])
    return {"room": of, "path": path, "title": page.get("title", ""), "clean": not findings, "findings": findings}


if __name__ == "__main__":
    room.serve()
