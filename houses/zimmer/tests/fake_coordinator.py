"""A fake of the coordinator's API for the tests of the rooms: what a member needs, in memory, and it can be told to fail.

It is no proof of the real API; that is crates/haus/tests/it, where the rooms meet the real coordinator.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENROLMENT = "haus_en_one"


class FakeCoordinator:
    def __init__(self, interval_s=30, expires_in=900):
        self.interval_s, self.expires_in = interval_s, expires_in
        self.enrolments = {ENROLMENT}
        self.refresh_token = None
        self.access_token = None
        self.registered = None
        self.loads: list[float] = []
        self.asked: list[str] = []
        # PATH: (status, body) answered instead, until it is taken away.
        self.instead: dict[str, tuple[int, dict]] = {}
        self._issued = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, condition, seconds=10):
        """Waits until a request made this true."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise AssertionError(f"waited in vain; asked: {self.asked}")

    def answer(self, method: str, path: str, headers, body) -> tuple[int, dict | None]:
        self.asked.append(f"{method} {path}")
        if path in self.instead:
            return self.instead[path]
        if path == "/api/identity/enrol":
            if body["token"] not in self.enrolments:
                return 401, {"code": "unauthorized"}
            self.enrolments.remove(body["token"])
            return 200, self.tokens()
        if path == "/api/identity/refresh":
            return (200, self.tokens()) if body["refresh_token"] == self.refresh_token else (401, {"code": "unauthorized"})
        if path.startswith("/api/discover"):
            if headers.get("Authorization") not in (None, f"Bearer {self.access_token}"):
                return 401, {"code": "unauthorized"}
            return 200, {"address": "127.0.0.1", "port": 9}
        if headers.get("Authorization") != f"Bearer {self.access_token}":
            return 401, {"code": "unauthorized"}
        if path == "/api/services/register":
            self.registered = body
            return 201, {"id": f"{body['name']}/1", "heartbeat_interval_s": self.interval_s}
        if method == "DELETE":
            self.registered = None
            return 204, None
        if self.registered is None:
            return 404, {"code": "not-found"}
        self.loads.append(body["load"])
        return 200, {"id": f"{self.registered['name']}/1", "heartbeat_interval_s": self.interval_s}

    def tokens(self) -> dict:
        self._issued += 1
        self.access_token, self.refresh_token = f"access-{self._issued}", f"refresh-{self._issued}"
        return {"access_token": self.access_token, "refresh_token": self.refresh_token, "expires_in": self.expires_in}

    def _handler(fake):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                with fake._changed:
                    status, answer = fake.answer(self.command, self.path, self.headers, body)
                    fake._changed.notify_all()
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = handle_one

            def log_message(self, *_):
                pass

        return Handler
