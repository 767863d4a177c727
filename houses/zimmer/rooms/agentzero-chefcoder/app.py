"""Zimmer 03: runs small built-in jobs, one after the other. It never runs code that a caller sends."""

import asyncio
import hashlib
import itertools
import time
from collections import Counter, OrderedDict

from fastapi import HTTPException
from pydantic import BaseModel, Field
from room import Room

JOBS_KEPT = 200
QUEUE_MAX = 50
NUMBER_MAX = 200_000


def word_count(text: str) -> dict:
    """Lines, words and the five most frequent words of a text."""
    words = text.split()
    frequent = Counter(word.strip(".,;:!?\"'()").lower() for word in words)
    return {"lines": len(text.splitlines()), "words": len(words), "frequent": frequent.most_common(5)}


def checksum(text: str) -> dict:
    """SHA-256 of a text."""
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def prime_factors(text: str) -> dict:
    """Prime factors of a number up to 200,000."""
    number = int(text) if text.strip().isdecimal() and len(text) < 10 else 0
    if not 1 < number <= NUMBER_MAX:
        raise ValueError(f"a whole number from 2 to {NUMBER_MAX}")
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return {"factors": factors}


TASKS = {"word-count": word_count, "checksum": checksum, "prime-factors": prime_factors}

room = Room(
    "Läuft kleine, fest eingebaute Aufträge nacheinander ab: Wörter zählen, Prüfsumme, Primfaktoren.",
    "Runs small built-in jobs one after the other: word count, checksum, prime factors.",
    ["/tasks", "/jobs", "/health"],
)
jobs: OrderedDict[int, dict] = OrderedDict()
numbers = itertools.count(1)
state: dict = {}


class NewJob(BaseModel):
    task: str
    input: str = Field(max_length=100_000)


async def work() -> None:
    """Takes one job after the other; the work itself runs in a thread so that health stays quick."""
    while True:
        job = jobs.get(await state["queue"].get())
        if job is None:
            continue
        job["state"] = "running"
        started = time.monotonic()
        try:
            job["result"] = await asyncio.to_thread(TASKS[job["task"]], job.pop("input"))
            job["state"] = "done"
        except ValueError as error:
            job["state"], job["error"] = "failed", str(error)
        job["took_ms"] = round((time.monotonic() - started) * 1000, 2)


@room.app.on_event("startup")
async def start() -> None:
    state["queue"] = asyncio.Queue(QUEUE_MAX)
    state["worker"] = asyncio.create_task(work())


@room.check("worker")
def worker_alive() -> str:
    if state["worker"].done():
        raise RuntimeError("the worker has ended")
    return f"{state['queue'].qsize()} waiting, {len(jobs)} kept"


@room.app.get("/tasks")
def tasks():
    return {name: function.__doc__ for name, function in TASKS.items()}


@room.app.post("/jobs", status_code=202)
async def submit(new: NewJob):
    if new.task not in TASKS:
        raise HTTPException(422, f"unknown task; one of {', '.join(TASKS)}")
    number = next(numbers)
    try:
        state["queue"].put_nowait(number)
    except asyncio.QueueFull:
        raise HTTPException(503, "the queue is full", {"Retry-After": "1"})
    jobs[number] = {"id": number, "task": new.task, "state": "waiting", "input": new.input}
    while len(jobs) > JOBS_KEPT:
        jobs.popitem(last=False)
    return {"id": number, "state": "waiting", "see": f"/jobs/{number}"}


@room.app.get("/jobs")
def listing():
    return [without_input(job) for job in reversed(list(jobs.values()))]


@room.app.get("/jobs/{number}")
def one(number: int):
    if number not in jobs:
        raise HTTPException(404, "no such job")
    return without_input(jobs[number])


def without_input(job: dict) -> dict:
    return {key: value for key, value in job.items() if key != "input"}


if __name__ == "__main__":
    room.serve()
