"""How a Python room reaches another one: it asks the coordinator where the room is, then calls it directly.

Because only names which the coordinator knows are ever called, a room cannot be talked into fetching a foreign address.
While the coordinator does not answer, rooms are called where they were last.
"""

import http.client
import json
import os
import re
from dataclasses import dataclass
from typing import Callable
from urllib.parse import SplitResult, quote, urlsplit

ANSWER_BYTES_MAX = 1024 * 1024
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


class HouseError(Exception):
    """A room is unknown or did not answer; the text may be shown to the caller."""


@dataclass
class Answer:
    """What a room answered; redirects are returned, never followed."""

    status: int
    content_type: str
    body: bytes

    def json(self):
        return json.loads(self.body)

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


# Headers that say who asks; the skeleton sets this when the room is a member of the house.
identified: Callable[[], dict[str, str]] = dict
_last_seen: dict[str, tuple[str, int]] = {}


def api() -> SplitResult:
    """Where the coordinator is, as it told every room of its house."""
    where = urlsplit(os.environ.get("HAUS_API", "").rstrip("/"))
    if where.scheme != "http" or not where.hostname or not where.port:
        raise HouseError("this house has no coordinator: HAUS_API is not http://ADDRESS:PORT")
    return where


def request(
    address: str, port: int, path: str, method: str = "GET", body=None, timeout_s: float = 4, more: dict | None = None
) -> Answer:
    """One request to one address of the house; `more` are further headers."""
    if not path.startswith("/") or re.search(r"[\x00-\x20\x7f]", path):
        raise HouseError("a path starts with / and has no blanks")
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json, text/html;q=0.9, */*;q=0.5", "Connection": "close", **(more or {})}
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX + 1)
        if len(content) > ANSWER_BYTES_MAX:
            raise HouseError("the answer is larger than 1 MiB")
        return Answer(response.status, response.headers.get("content-type", ""), content)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise HouseError(f"no answer from port {port}: {type(error).__name__}") from error
    finally:
        connection.close()


def coordinator(path: str) -> Answer:
    """One GET to the coordinator of the house, in the name of this room once it has one."""
    where = api()
    headers = identified()
    answer = request(where.hostname, where.port, where.path + path, more=headers)
    if answer.status == 401 and headers:
        # The token was taken back a moment ago; what strangers may know is answered all the same.
        answer = request(where.hostname, where.port, where.path + path)
    return answer


def coordinator_answers() -> str:
    """What a room that asks the coordinator says of it in its health. It stays healthy without: a restart helps nobody."""
    try:
        return f"answers {coordinator('/health').status}"
    except HouseError as error:
        return f"{error}; rooms are called where they were last"


def find(room: str) -> tuple[str, int]:
    """Address and port of one usable instance of a room."""
    if not NAME.match(room):
        raise HouseError("that is not the name of a room")
    try:
        answer = coordinator(f"/api/discover?service={quote(room)}")
    except HouseError:
        if room in _last_seen:
            return _last_seen[room]
        raise
    if answer.status >= 500 and room in _last_seen:
        return _last_seen[room]
    if answer.status != 200:
        raise HouseError(f"the coordinator does not know a healthy {room}")
    found = answer.json()
    if not found["port"]:
        raise HouseError(f"{room} has no port")
    _last_seen[room] = found["address"], int(found["port"])
    return _last_seen[room]


def call(room: str, path: str, method: str = "GET", body=None, timeout_s: float = 4) -> Answer:
    """One request to one room of the house, found by its name."""
    address, port = find(room)
    return request(address, port, path, method, body, timeout_s)
