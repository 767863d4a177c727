"""Zimmer 05: fetches pages of this house and turns them into text. It fetches nothing from outside."""

import house
from fastapi import Query
from fastapi.responses import PlainTextResponse
from reader import read_page
from room import Room

room = Room(
    "Holt Seiten dieses Hauses und gibt sie als Text mit Titel und Verweisen zurück. Nach draußen geht nichts.",
    "Fetches pages of this house and returns them as text with title and links. Nothing leaves the house.",
    ["/page?room=zimmer-11-dashboard-zentrale&path=/", "/text?room=zimmer-11-dashboard-zentrale&path=/", "/health"],
)
room.answers(house.HouseError, 502)


room.check("coordinator")(house.coordinator_answers)


@room.app.get("/page")
def page(of: str = Query(alias="room"), path: str = "/"):
    """What a page holds: title, language, links, images, text."""
    answer = house.call(of, path)
    found = {"room": of, "path": path, "status": answer.status, "content_type": answer.content_type}
    if "html" in answer.content_type:
        found.update(read_page(answer.text()))
    else:
        found["text"] = answer.text()
    return found


@room.app.get("/text", response_class=PlainTextResponse)
def text(of: str = Query(alias="room"), path: str = "/"):
    """The page as a person would read it aloud."""
    return page(of, path)["text"]


if __name__ == "__main__":
    room.serve()
