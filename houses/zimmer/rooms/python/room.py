"""The skeleton of a Python room: health, a page about itself, one log line per request, a clean end.

It knows nothing of Redis, PostgreSQL or other rooms; those are in `stores.py` and `house.py`. That the room makes itself
known to the coordinator is in `member.py`; here it is only begun and ended.
"""

import os
import sys
import time
from html import escape
from typing import Callable

import house
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from member import Member, ProcessorShare

BODY_BYTES_MAX = 256 * 1024
# Longer than the gateway keeps an idle connection, so that the gateway is always the side that closes it
# and a request never meets a connection which the room is just closing.
KEEP_ALIVE_S = 75


class BodyTooLarge(Exception):
    """A body without a declared length grew over the limit while it was read."""


class Guard:
    """Logs one line per request (never bodies or query strings, both can hold secrets) and limits bodies."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        answer = {"status": 500}

        async def noting_send(message):
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
            await send(message)

        try:
            if declared_length(scope) > BODY_BYTES_MAX:
                await JSONResponse({"detail": "body too large"}, 413)(scope, receive, noting_send)
            else:
                await self.app(scope, counting(receive), noting_send)
        finally:
            # raw_path is still percent-encoded, so a crafted path cannot write a second log line.
            path = scope.get("raw_path", b"?").split(b"?")[0].decode("latin-1")
            took_ms = (time.monotonic() - started) * 1000
            print(f"{scope['method']} {path} {answer['status']} {took_ms:.1f}ms", file=sys.stderr, flush=True)


def declared_length(scope) -> int:
    """The Content-Length of a request, 0 where there is none."""
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else BODY_BYTES_MAX + 1


def counting(receive):
    """Wraps `receive` so that a chunked body cannot grow without limit."""
    seen = 0

    async def counted():
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_BYTES_MAX:
            raise BodyTooLarge()
        return message

    return counted


class Room:
    """One room: `room.app` takes the endpoints, `@room.check` what health really tries, `room.serve()` runs it."""

    def __init__(self, german: str, english: str, examples: list[str]):
        self.name = os.environ.get("HAUS_SERVICE", "room")
        self.instance = os.environ.get("HAUS_INSTANCE", "1")
        self.about = {"de": german, "en": english}
        self.examples = examples
        self.checks: dict[str, Callable[[], str]] = {}
        self.member: Member | None = None
        # The interactive documentation would load scripts from the internet; the house works without it.
        self.app = FastAPI(title=self.name, description=english, docs_url=None, redoc_url=None)
        self.app.add_api_route("/health", self.health, methods=["GET"])
        self.app.add_api_route("/", self.front, methods=["GET"])

    def check(self, name: str):
        """Registers a function which tries something and returns what it saw, or raises."""

        def register(function: Callable[[], str]):
            self.checks[name] = function
            return function

        return register

    def answers(self, error: type[Exception], status: int) -> None:
        """Says with which status an error of this kind is answered; its text is shown to the caller."""

        async def handle(_request: Request, raised: Exception):
            return JSONResponse({"detail": str(raised)}, status)

        self.app.add_exception_handler(error, handle)

    def health(self) -> JSONResponse:
        seen, healthy = {}, True
        for name, function in self.checks.items():
            try:
                seen[name] = function()
            except Exception as error:  # whatever a check raises, the answer is "unhealthy, because"
                healthy = False
                first_line = (str(error).splitlines() or [""])[0]
                seen[name] = f"failed: {type(error).__name__}: {first_line}"
        body = {
            "status": "healthy" if healthy else "unhealthy",
            "service": self.name,
            "instance": self.instance,
            "checks": seen,
            # Told, not checked: a room that nobody can find still works.
            "member": self.member.state if self.member else "there is no coordinator",
        }
        return JSONResponse(body, 200 if healthy else 503)

    def front(self, request: Request):
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(front_page(self.name, self.about, self.examples))
        return {"service": self.name, "instance": self.instance, "about": self.about, "try": self.examples}

    def serve(self) -> None:
        """Serves until SIGTERM; requests that have begun are answered first."""
        config = uvicorn.Config(
            Guard(self.app),
            host="127.0.0.1",
            port=int(os.environ["PORT"]),
            log_level="warning",
            access_log=False,
            server_header=False,
            http="h11",
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self.member = Member.from_environment(self.name, config.port, ProcessorShare())
        if self.member is not None:
            house.identified = self.member.headers
        Server(config, self.member).run()


class Server(uvicorn.Server):
    """Registers as soon as somebody can be served, and deregisters before the last requests are answered."""

    def __init__(self, config: uvicorn.Config, member: Member | None):
        super().__init__(config)
        self.member = member

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        if self.member is not None and self.started:
            self.member.start()

    def handle_exit(self, sig, frame) -> None:
        if self.member is not None:
            self.member.leave()
        super().handle_exit(sig, frame)

    def run(self, sockets=None) -> None:
        super().run(sockets)
        if self.member is not None:
            self.member.left()


def front_page(name: str, about: dict[str, str], examples: list[str]) -> str:
    """The page a person sees at `/`, in both languages."""
    items = "".join(f'<li><a href="{escape(path, True)}"><code>{escape(path)}</code></a></li>' for path in examples)
    return (
        f'<!doctype html><html lang="de"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.5 system-ui;max-width:40rem;'
        "margin:2rem auto;padding:0 1rem;color-scheme:light dark}</style></head>"
        f"<body><h1>{escape(name)}</h1><p>{escape(about['de'])}</p><p lang=\"en\">{escape(about['en'])}</p>"
        f"<ul>{items}</ul></body></html>"
    )
