"""Whether an answer is what a smoke check expects. Pure."""

import json


def verdict(smoke: dict, status: int, body: bytes) -> str:
    """An empty text when the answer is as expected, otherwise the reason why not."""
    expected = smoke.get("status", 200)
    if status != expected:
        return f"answered {status}, expected {expected}"
    if "text" in smoke and smoke["text"] not in body.decode("utf-8", "replace"):
        return f"the answer does not contain {smoke['text']!r}"
    if "json" in smoke:
        try:
            answered = json.loads(body)
        except ValueError:
            return "the answer is not JSON"
        for key, value in smoke["json"].items():
            if not isinstance(answered, dict) or answered.get(key) != value:
                return f"{key} is not {value!r}"
    return ""
