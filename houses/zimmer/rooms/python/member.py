"""The room as a member of its house: it enrols with its one-time token, registers, tells how busy it is, and leaves.

All of it happens in a thread of its own, with pauses that grow while nobody answers: a room works without the
coordinator. Tokens stay in memory and are never printed. The document of the API is docs/api.md of the repository.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Callable

import house

PAUSE_FIRST_S, PAUSE_MOST_S = 1.0, 60.0
# Beats that the coordinator may ask for; whatever else it says, a room neither storms nor forgets it.
INTERVAL_LEAST_S, INTERVAL_MOST_S = 1.0, 300.0
LEAVE_WITHIN_S = 1.5
# An access token is exchanged when a fifth of its life is left.
RENEW_AT = 0.8


class NotYet(Exception):
    """This step did not succeed; the text says why and holds no secret."""

    def __init__(self, why: str, pause_s: float = 0):
        super().__init__(why)
        self.pause_s = pause_s


class Member:
    """Everything that one instance says to the coordinator. `step` does one act; `start` runs the steps in a thread."""

    def __init__(self, name: str, port: int, load: Callable[[], float], version: str = "1.0.0", enrolment: str = ""):
        self.name, self.port, self.version = name, port, version
        self.state = "not registered yet"
        self._load, self._enrolment = load, enrolment
        self._spent = self._access = self._refresh = None
        self._renew_at = self._ends_at = 0.0
        self._registered = False
        self._failures = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_environment(cls, name: str, port: int, load: Callable[[], float]) -> "Member | None":
        """None when there is no coordinator to talk to."""
        if not os.environ.get("HAUS_API"):
            return None
        folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
        beside = str(Path(folder, "HAUS_ENROLMENT")) if folder else ""
        return cls(name, port, load, enrolment=os.environ.get("HAUS_ENROLMENT_FILE", beside))

    def headers(self) -> dict[str, str]:
        """The header that says who asks; empty while that is not known."""
        known = self._access and time.monotonic() < self._ends_at
        return {"Authorization": f"Bearer {self._access}"} if known else {}

    def start(self) -> None:
        """Begins; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="member", daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """Begins to deregister; does not wait."""
        self._ending.set()

    def left(self) -> None:
        """Waits until the room is deregistered, for a moment at most."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(LEAVE_WITHIN_S)

    def _run(self) -> None:
        pause = 0.0
        while not self._ending.wait(pause):
            pause = self.step()
        self._deregister()

    def step(self) -> float:
        """One act towards being known; gives the seconds until the next one."""
        try:
            if self._access is None or time.monotonic() >= self._renew_at:
                self._come_in()
            pause = self._heartbeat() if self._registered else self._register()
        except (NotYet, house.HouseError, ValueError, KeyError, TypeError) as error:
            self._failures += 1
            grown = min(PAUSE_MOST_S, PAUSE_FIRST_S * 2 ** min(self._failures - 1, 10))
            # Rooms that lost the coordinator at the same moment do not come back at the same moment.
            pause = max(grown * random.uniform(0.5, 1.0), getattr(error, "pause_s", 0))
            why = str(error) if isinstance(error, (NotYet, house.HouseError)) else "an answer nobody can read"
            self._tell(f"not registered: {why}" if not self._registered else f"registered, but: {why}")
            return pause
        self._failures = 0
        return pause

    def _come_in(self) -> None:
        """Gets an access token: for the refresh token, else for the one-time token that the house delivered."""
        tokens = self._refreshed() or self._enrolled()
        now, life_s = time.monotonic(), float(tokens["expires_in"])
        self._access, self._refresh = str(tokens["access_token"]), str(tokens["refresh_token"])
        self._renew_at, self._ends_at = now + RENEW_AT * life_s, now + life_s

    def _refreshed(self) -> dict | None:
        if self._refresh is None:
            return None
        try:
            return self._ask("POST", "/api/identity/refresh", {"refresh_token": self._refresh})
        except Refused as refused:
            if not refused.is_final:
                raise
            # Ended by somebody: only a new one-time token opens the door again.
            self._access = self._refresh = None
            return None

    def _enrolled(self) -> dict:
        token = self._one_time_token()
        try:
            tokens = self._ask("POST", "/api/identity/enrol", {"token": token})
        except Refused as refused:
            if refused.is_final:
                self._spent = token
            raise
        self._spent = token
        return tokens

    def _one_time_token(self) -> str:
        try:
            token = Path(self._enrolment).read_text(encoding="ascii").strip() if self._enrolment else ""
        except (OSError, UnicodeError) as error:
            raise NotYet(f"the one-time token cannot be read: {type(error).__name__}", PAUSE_MOST_S) from error
        if not token:
            raise NotYet("the house delivered no one-time token", PAUSE_MOST_S)
        if token == self._spent:
            # Showing it again would only be counted as an attack.
            raise NotYet("the one-time token is used; a new one comes with the next start", PAUSE_MOST_S)
        return token

    def _register(self) -> float:
        body = {
            "name": self.name,
            "port": self.port,
            "version": self.version,
            "health_endpoint": "/health",
            "metadata": {"language": "Python"},
        }
        # The answer holds this room's credentials as well; they are in its files already and not kept here.
        answer = self._ask("POST", "/api/services/register", body)
        self._registered = True
        self._tell(f"registered as {answer['id']}")
        return interval(answer)

    def _heartbeat(self) -> float:
        load = round(min(1.0, max(0.0, self._load())), 3)
        try:
            answer = self._ask("POST", f"/api/services/{self.name}/heartbeat", {"load": load})
        except Refused as refused:
            if refused.status == 404:
                # A coordinator that lost its memory: register again at once.
                self._registered = False
                return 0
            raise
        self._tell(f"registered as {answer['id']}")
        return interval(answer)

    def _deregister(self) -> None:
        if self._registered:
            try:
                self._ask("DELETE", f"/api/services/{self.name}", None, LEAVE_WITHIN_S)
                self._tell("deregistered")
            except (NotYet, house.HouseError):
                # Its entry ages out; an end is not delayed for it.
                self._tell("left without a word")
            self._registered = False

    def _ask(self, method: str, path: str, body, timeout_s: float = 4) -> dict:
        where = house.api()
        # Who comes in has no valid token yet, and an old one would be refused before the new one is looked at.
        headers = {} if path.startswith("/api/identity/") else self.headers()
        answer = house.request(where.hostname, where.port, where.path + path, method, body, timeout_s, headers)
        if 200 <= answer.status < 300:
            return answer.json() if answer.body else {}
        if answer.status == 401:
            self._access = None
        raise Refused(path, answer)

    def _tell(self, state: str) -> None:
        """One line per change, not one per try."""
        if state != self.state:
            self.state = state
            print(f"member: {state}", file=sys.stderr, flush=True)


class Refused(NotYet):
    """The coordinator said no."""

    def __init__(self, path: str, answer: house.Answer):
        self.status = answer.status
        # The same token will not be taken another time.
        self.is_final = answer.status in (400, 401, 403, 409, 410, 422)
        try:
            problem = answer.json()
            pause_s = float(problem.get("retry_after_s") or 0)
            # The code is one of a fixed list; the detail is not repeated, it may name things that are nobody's business.
            said = str(problem.get("code", ""))[:40]
        except (ValueError, AttributeError, TypeError):
            pause_s, said = 0.0, "no problem document"
        super().__init__(f"{path} answered {self.status} {said}".rstrip(), min(pause_s, INTERVAL_MOST_S))


def interval(answer: dict) -> float:
    """Seconds until the next heartbeat, as the coordinator asks and within reason."""
    return min(INTERVAL_MOST_S, max(INTERVAL_LEAST_S, float(answer["heartbeat_interval_s"])))


class ProcessorShare:
    """How busy this process was since the last question: its processor time beside the time that passed."""

    def __init__(self):
        self._wall, self._own = time.monotonic(), time.process_time()

    def __call__(self) -> float:
        wall, own = time.monotonic(), time.process_time()
        share = (own - self._own) / max(wall - self._wall, 0.001)
        self._wall, self._own = wall, own
        return share
