"""How a Python room reaches another one: it asks the coordinator where the room is, then calls it directly.

Because only names which the coordinator knows are ever called, a room cannot be talked into fetching a foreign address.
"""

import http.client
import json
import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

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


def request(address: str, port: int, path: str, method: str = "GET", body=None, timeout_s: float = 4) -> Answer:
    """One request to one address of the house."""
    if not path.startswith("/") or re.search(r"[\x00-\x20\x7f]", path):
        raise HouseError("a path starts with / and has no blanks")
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json, text/html;q=0.9, */*;q=0.5", "Connection": "close"}
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
    """One GET to the coordinator of the house."""
    where = urlsplit(os.environ["COORDINATOR"])
    return request(where.hostname, where.port, path)


def find(room: str) -> tuple[str, int]:
    """Address and port of one healthy instance of a room."""
    if not NAME.match(room):
        raise HouseError("that is not the name of a room")
    answer = coordinator(f"/api/discover?service={quote(room)}")
    if answer.status != 200:
        raise HouseError(f"the coordinator does not know a healthy {room}")
    found = answer.json()
    if not found["port"]:
        raise HouseError(f"{room} has no port")
    return found["address"], int(found["port"])


def call(room: str, path: str, method: str = "GET", body=None, timeout_s: float = 4) -> Answer:
    """One request to one room of the house, found by its name."""
    address, port = find(room)
    return request(address, port, path, method, body, timeout_s)
