"""The parts of the Python rooms that need no running house: /usr/bin/python3 -m unittest discover houses/zimmer/tests"""

import asyncio
import contextlib
import io
import json
import sys
import unittest
from pathlib import Path

ROOMS = Path(__file__).resolve().parent.parent / "rooms"
sys.dont_write_bytecode = True
for folder in ("python", "steel-tarnkappe", "skyvern-auge", "stagehand-detektiv", "qa-pruefer", "surfsense-archiv"):
    sys.path.insert(0, str(ROOMS / folder))

import house
from index import DocumentIndex
from judge import judge
from likeness import length, rank, terms
from reader import read_page
from room import BODY_BYTES_MAX, Guard, Room
from verdict import verdict


def ask(room: Room, path: str, method: str = "GET", headers=(), body: bytes = b"", query: bytes = b""):
    """One request to a room without a socket; gives status, body and what went to the log."""
    answer = {"body": b""}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query, "root_path": "", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2),
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
        else:
            answer["body"] += message.get("body", b"")

    log = io.StringIO()
    with contextlib.redirect_stderr(log):
        asyncio.run(Guard(room.app)(scope, receive, send))
    return answer["status"], answer["body"], log.getvalue()


class Skeleton(unittest.TestCase):
    def setUp(self):
        self.room = Room("Ein <Zimmer>.", "A <room>.", ["/health"])

    def test_health_is_healthy_only_while_every_check_passes(self):
        self.room.check("good")(lambda: "yes")
        status, body, _ = ask(self.room, "/health")
        self.assertEqual((status, json.loads(body)["status"]), (200, "healthy"))

        def broken():
            raise RuntimeError("no answer\nsecond line")

        self.room.check("bad")(broken)
        status, body, _ = ask(self.room, "/health")
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body)["checks"], {"good": "yes", "bad": "failed: RuntimeError: no answer"})

    def test_the_front_page_speaks_both_languages_and_escapes(self):
        _, page, _ = ask(self.room, "/", headers=[("accept", "text/html")])
        self.assertIn("Ein &lt;Zimmer&gt;.", page.decode())
        self.assertIn("A &lt;room&gt;.", page.decode())
        _, body, _ = ask(self.room, "/")
        self.assertEqual(json.loads(body)["about"], {"de": "Ein <Zimmer>.", "en": "A <room>."})

    def test_the_log_has_one_line_without_the_query(self):
        _, _, log = ask(self.room, "/health", query=b"token=geheim")
        self.assertRegex(log, r"\AGET /health 200 [\d.]+ms\n\Z")

    def test_a_body_over_the_limit_is_refused(self):
        for value in (str(BODY_BYTES_MAX + 1), "many"):
            status, _, _ = ask(self.room, "/", "POST", [("content-length", value)])
            self.assertEqual(status, 413, value)


class HouseCalls(unittest.TestCase):
    def test_only_names_of_rooms_and_plain_paths_are_called(self):
        for name in ("example.com", "127.0.0.1", "a/b", "Zimmer", ""):
            with self.assertRaises(house.HouseError, msg=name):
                house.find(name)
        for path in ("relative", "//x y", "/a\r\nHost: b"):
            with self.assertRaises(house.HouseError, msg=path):
                house.request("127.0.0.1", 9, path)


class Reader(unittest.TestCase):
    def test_a_page_becomes_text_links_and_images(self):
        page = read_page(
            '<html lang="de"><head><title> Haus </title><meta name="viewport" content="x"><style>p{}</style></head>'
            '<body><h1>Ein  Haus</h1><p>mit &amp; <b>Dach</b></p><script>alert(1)</script>'
            '<a href="/keller">Keller</a><img src="a.png"><img src="b.png" alt=""></body></html>'
        )
        self.assertEqual(page["title"], "Haus")
        self.assertEqual((page["language"], page["viewport"], page["links"]), ("de", True, ["/keller"]))
        self.assertEqual(page["text"], "Ein Haus\nmit & Dach\nKeller")
        self.assertEqual([image["alt"] for image in page["images"]], [None, ""])


class Judge(unittest.TestCase):
    PAGE = {"status": 200, "content_type": "text/html", "title": "t", "language": "de", "viewport": True, "links": [], "images": []}

    def check(self, changes: dict, expected: list[str], status: int = 200):
        found = judge({**self.PAGE, **changes}, lambda _: status)
        self.assertEqual([finding["kind"] for finding in found], expected)

    def test_a_careful_page_is_clean(self):
        self.check({"links": ["/a", "https://example.org/", "//example.org"]}, [])

    def test_each_fault_is_one_finding(self):
        self.check({"title": "", "language": "", "viewport": False}, ["title", "language", "viewport"])
        self.check({"images": [{"src": "a", "alt": None}, {"src": "b", "alt": ""}]}, ["alt"])
        self.check({"links": ["/a#x", "/a#y"]}, ["link"], status=404)
        self.check({"status": 500, "title": ""}, ["status"])

    def test_what_is_not_a_page_is_not_judged(self):
        self.check({"content_type": "application/json", "title": ""}, [])


class Search(unittest.TestCase):
    def test_results_say_document_and_line(self):
        index = DocumentIndex()
        index.add("a.md", "# Dach\n\nDas Dach ist rot.\n")
        index.add("b.md", "Der Keller ist feucht.\n")
        self.assertEqual(index.search("rot dach", 5), [{"document": "a.md", "line": 3, "text": "Das »Dach« ist »rot«."}])
        self.assertEqual([hit["document"] for hit in index.search("kell", 5)], ["b.md"])

    def test_a_query_cannot_break_out_of_the_search_language(self):
        index = DocumentIndex()
        index.add("a.md", "Haus")
        for query in ('"', "haus OR keller", "name:haus", "((", "  "):
            self.assertIsInstance(index.search(query, 5), list)


class Verdict(unittest.TestCase):
    def check(self, smoke: dict, status: int, body: bytes, expected: str):
        self.assertEqual(verdict(smoke, status, body), expected)

    def test_an_answer_is_compared_with_what_the_plan_expects(self):
        self.check({}, 200, b"", "")
        self.check({}, 503, b"", "answered 503, expected 200")
        self.check({"text": "Haus"}, 200, b"ein Haus", "")
        self.check({"text": "Haus"}, 200, b"ein Zelt", "the answer does not contain 'Haus'")
        self.check({"json": {"ok": True}}, 200, b'{"ok": true, "more": 1}', "")
        self.check({"json": {"ok": True}}, 200, b'{"ok": false}', "ok is not True")
        self.check({"json": {"ok": True}}, 200, b"<html>", "the answer is not JSON")
        self.check({"json": {"ok": True}}, 200, b"[]", "ok is not True")


class Likeness(unittest.TestCase):
    def ranked(self, question: str, documents: list[str]):
        counted = [terms(text) for text in documents]
        asked = terms(question)
        hits = [
            (number, length(words), word, words[word])
            for number, words in enumerate(counted)
            for word in asked
            if word in words
        ]
        spread = {word: sum(word in words for words in counted) for word in asked}
        return rank(asked, spread, len(documents), hits)

    def test_rare_words_weigh_more_than_common_ones(self):
        best = self.ranked("der gärtner", ["der der der koch", "der gärtner", "der bote"])
        self.assertEqual(best[0][0], 1)

    def test_a_document_is_most_like_itself(self):
        (number, score), *_ = self.ranked("das dach ist rot", ["das dach ist rot", "das dach"])
        self.assertEqual(number, 0)
        self.assertGreater(score, 0.9)
        self.assertLessEqual(score, 1.0 + 1e-9)

    def test_without_a_shared_word_nothing_is_alike(self):
        self.assertEqual(self.ranked("zelt", ["haus"]), [])


if __name__ == "__main__":
    unittest.main()
