"""Zimmer 08: tries the rooms which the plan names and keeps every result in PostgreSQL.

The plan's `config:` says what is tried. A key in Redis keeps two runs from overlapping.
"""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import house
from fastapi import HTTPException, Query
from room import Room
from stores import Postgres, StoreError, redis_client
from verdict import verdict

SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS qa",
    "CREATE TABLE IF NOT EXISTS qa.run (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),"
    " passed int NOT NULL, failed int NOT NULL)",
    "CREATE TABLE IF NOT EXISTS qa.result (run bigint NOT NULL REFERENCES qa.run ON DELETE CASCADE, room text NOT NULL,"
    " path text NOT NULL, passed boolean NOT NULL, reason text NOT NULL, took_ms real NOT NULL)",
)
RUNS_KEPT = 500
LOCK, LOCK_S = "qa:running", 120
TRIED_AT_ONCE = 4

with open(os.environ["HAUS_CONFIG"], encoding="utf-8") as file:
    SMOKE = json.load(file)["smoke"]

room = Room(
    "Prüft die Zimmer, die im Plan stehen, und bewahrt jedes Ergebnis in PostgreSQL auf.",
    "Tries the rooms which the plan names and keeps every result in PostgreSQL.",
    ["/smoke", "/runs", "/health"],
)
room.answers(StoreError, 503)
postgres, redis = Postgres(SCHEMA), redis_client()


@room.check("postgres")
def postgres_answers() -> str:
    return postgres.ping()


@room.check("redis")
def redis_answers() -> str:
    return f"PING {redis.ping()}"


def try_one(smoke: dict) -> dict:
    """One smoke check; every way to fail becomes a reason."""
    started = time.monotonic()
    try:
        answer = house.call(smoke["room"], smoke["path"])
        reason = verdict(smoke, answer.status, answer.body)
    except house.HouseError as error:
        reason = str(error)
    took_ms = round((time.monotonic() - started) * 1000, 1)
    return {"room": smoke["room"], "path": smoke["path"], "passed": not reason, "reason": reason, "took_ms": took_ms}


@room.app.get("/smoke")
def smoke():
    """What a run tries."""
    return SMOKE


@room.app.post("/runs", status_code=201)
def run():
    if not redis.set(LOCK, room.instance, nx=True, ex=LOCK_S):
        raise HTTPException(409, "a run is under way")
    try:
        with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
            results = list(pool.map(try_one, SMOKE))
        passed = sum(result["passed"] for result in results)
        # One statement, so a run is stored whole or not at all.
        stored = postgres.change(
            "WITH run AS (INSERT INTO qa.run (passed, failed) VALUES (%s, %s) RETURNING id),"
            " old AS (DELETE FROM qa.run WHERE id <= (SELECT max(id) FROM qa.run) - %s),"
            " kept AS (INSERT INTO qa.result SELECT run.id, r.room, r.path, r.passed, r.reason, r.took_ms FROM run,"
            " json_to_recordset(%s::json) AS r(room text, path text, passed boolean, reason text, took_ms real))"
            " SELECT id FROM run",
            (passed, len(results) - passed, RUNS_KEPT, json.dumps(results)),
        )
    finally:
        redis.delete(LOCK)
    return {"run": stored[0]["id"], "passed": passed, "failed": len(results) - passed, "results": results}


@room.app.get("/runs")
def runs(limit: int = Query(20, ge=1, le=200)):
    return postgres.query("SELECT id, at, passed, failed FROM qa.run ORDER BY id DESC LIMIT %s", (limit,))


@room.app.get("/runs/{number}")
def one(number: int):
    found = postgres.query(
        "SELECT room, path, passed, reason, took_ms FROM qa.result WHERE run = %s ORDER BY room, path", (number,)
    )
    if not found:
        raise HTTPException(404, "no such run")
    return found


if __name__ == "__main__":
    room.serve()
