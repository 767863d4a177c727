"""The two stores of the house as a Python room sees them.

Passwords come from credential files, never from the environment.
"""

import os
import threading
from pathlib import Path


class StoreError(Exception):
    """A store did not answer; the text may be shown to the caller."""


def credential(name: str) -> str:
    """The value of a credential which the plan delivers to this room."""
    return Path(os.environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()


def redis_client():
    """A client of `zimmer-speicher-redis`; it connects on first use and again after a failure."""
    import redis

    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ["REDIS_PORT"]),
        password=credential("REDIS_PASSWORD"),
        socket_timeout=2,
        socket_connect_timeout=2,
        decode_responses=True,
        max_connections=4,
    )


class Postgres:
    """One connection to `zimmer-archiv-postgres`, used by one thread at a time.

    A room answers few requests at once, and every connection costs the server a process; one is the right number.
    Host, port, database and role come from the PG* variables which libpq itself reads.
    """

    def __init__(self, schema: tuple[str, ...] = ()):
        self._schema = schema
        self._lock = threading.Lock()
        self._connection = None

    def _open(self):
        import psycopg2

        connection = psycopg2.connect(
            password=credential("POSTGRES_PASSWORD"),
            connect_timeout=2,
            options="-c statement_timeout=3000 -c client_min_messages=warning",
            application_name=os.environ.get("HAUS_SERVICE", "room"),
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in self._schema:
                cursor.execute(statement)
        return connection

    def query(self, statement, arguments=()) -> list[dict]:
        """Reads. When the server was restarted since the last request, the question is asked a second time."""
        with self._lock:
            try:
                return self._run(statement, arguments)
            except StoreError:
                return self._run(statement, arguments)

    def change(self, statement, arguments=()) -> list[dict]:
        """Writes, once: whether a broken connection had carried the change out cannot be known from here."""
        with self._lock:
            return self._run(statement, arguments)

    def _run(self, statement, arguments) -> list[dict]:
        import psycopg2

        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection.cursor() as cursor:
                cursor.execute(statement, arguments)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row)) for row in cursor.fetchall()]
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise StoreError(f"PostgreSQL: {type(error).__name__}") from error

    def ping(self) -> str:
        """Proves that the server answers a real query."""
        rows = self.query("SELECT current_user AS role, current_setting('server_version') AS version")
        return f"PostgreSQL {rows[0]['version'].split()[0]} as {rows[0]['role']}"
