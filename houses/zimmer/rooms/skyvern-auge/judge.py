"""What is wrong with a page. Pure but for the one function it is given to try a link."""

from typing import Callable

LINKS_TRIED_MAX = 10


def judge(page: dict, status_of: Callable[[str], int]) -> list[dict]:
    """Findings over what zimmer-05 read from a page, each with what to do about it."""
    if page["status"] != 200:
        return [finding("status", f"the page answers {page['status']}", "repair the page first")]
    if "html" not in page["content_type"]:
        return []
    found = []
    if not page["title"]:
        found.append(finding("title", "the page has no title", "say in <title> what the page is"))
    if not page["language"]:
        found.append(finding("language", "the page does not say its language", "add lang to <html>"))
    if not page["viewport"]:
        found.append(finding("viewport", "phones show the page tiny", 'add <meta name="viewport" …>'))
    for image in page["images"]:
        if image["alt"] is None:
            found.append(finding("alt", f"image {image['src']} has no text", "add alt, empty for decoration"))
    inside = {link.split("#")[0] for link in page["links"] if link.startswith("/") and not link.startswith("//")}
    for link in sorted(inside)[:LINKS_TRIED_MAX]:
        # A query string may hold anything; only the path is tried.
        status = status_of(link.split("?")[0] or "/")
        if status >= 500 or status == 404:
            found.append(finding("link", f"{link} answers {status}", "correct the link or its target"))
    return found


def finding(kind: str, text: str, remedy: str) -> dict:
    """One finding in the shape that the room answers."""
    return {"kind": kind, "text": text, "remedy": remedy}
