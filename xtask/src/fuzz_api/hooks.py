"""What schemathesis does differently here, and what else is held against every answer. Loaded before every round."""

import itertools
import os

import schemathesis

NUMBERS = itertools.count(1)
IS_STRANGER = "FUZZ_TOKEN" not in os.environ


@schemathesis.hook
def before_call(context, case, kwargs):
    """One key for all requests would make nearly every one of them a repetition: most get one of their own."""
    key = (case.headers or {}).get("Idempotency-Key")
    number = next(NUMBERS)
    if isinstance(key, str) and number % 8:
        case.headers["Idempotency-Key"] = f"{key[:200]}-{number}"


@schemathesis.check
def strangers_stay_out(ctx, response, case):
    """What the document keeps for holders of a token is given to nobody else."""
    is_open = {} in case.operation.definition.raw.get("security", [])
    if IS_STRANGER and not is_open and response.status_code < 400:
        raise AssertionError(f"a stranger was answered with {response.status_code}")


@schemathesis.check
def refusals_are_problems(ctx, response, case):
    """Every refusal has its code, its words, and the id by which it is found in the log."""
    if response.status_code < 400 or case.method == "HEAD" or "/gateway/proxy/" in case.path:
        return
    problem = response.json()
    missing = [name for name in ("type", "title", "detail", "code", "request_id") if not problem.get(name)]
    if missing or problem["status"] != response.status_code:
        raise AssertionError(f"a refusal without {', '.join(missing) or 'its own status'}")
    if [problem["request_id"]] != response.headers.get("x-request-id"):
        raise AssertionError("another request's id stands in the header")
