"""How a Python room becomes and stays a member of its house, against a fake coordinator that can be told to fail."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
for folder in (HERE, HERE.parent / "rooms" / "python"):
    sys.path.insert(0, str(folder))

import house
from fake_coordinator import ENROLMENT, FakeCoordinator
from member import INTERVAL_LEAST_S, PAUSE_MOST_S, Member, ProcessorShare, interval

NAME = "zimmer-08-qa-pruefer"


class Base(unittest.TestCase):
    def setUp(self):
        self.fake = FakeCoordinator()
        self.addCleanup(self.fake.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name, "HAUS_ENROLMENT")
        self.file.write_text(ENROLMENT + "\n", encoding="ascii")
        self.enterContext(mock.patch.dict(os.environ, {"HAUS_API": self.fake.url, "HAUS_ENROLMENT_FILE": str(self.file)}))
        self.log = self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        house._last_seen.clear()
        self.member = Member.from_environment(NAME, 4711, lambda: 0.25)

    def steps(self, count: int) -> list[float]:
        return [self.member.step() for _ in range(count)]


class Membership(Base):
    def test_it_enrols_registers_and_sends_its_load(self):
        self.assertEqual(self.steps(2), [30, 30])
        self.assertEqual(self.fake.asked[:2], ["POST /api/identity/enrol", "POST /api/services/register"])
        self.assertEqual((self.fake.registered["port"], self.fake.registered["health_endpoint"]), (4711, "/health"))
        self.assertEqual(self.fake.loads, [0.25])
        self.assertEqual(self.member.state, f"registered as {NAME}/1")

    def test_it_registers_again_when_the_coordinator_forgot_it(self):
        self.steps(2)
        self.fake.registered = None
        self.assertEqual(self.steps(2), [0, 30])
        self.assertEqual(self.fake.registered["name"], NAME)

    def test_the_tokens_are_exchanged_before_they_end(self):
        with mock.patch("member.time.monotonic") as now:
            for now.return_value, issued in ((0, 1), (0.79 * 900, 1), (0.81 * 900, 2)):
                self.assertEqual(self.member.step(), 30)
                self.assertEqual(self.fake._issued, issued)
            now.return_value = 5 * 900
            self.assertEqual(self.member.headers(), {})
        self.assertEqual(self.fake.asked.count("POST /api/identity/enrol"), 1)

    def test_a_token_that_was_taken_back_is_exchanged(self):
        self.steps(2)
        self.fake.access_token = "another"
        self.assertLess(self.member.step(), 2)
        self.assertEqual(self.member.step(), 30)

    def test_a_used_one_time_token_is_shown_once_and_a_new_one_opens_the_door(self):
        self.fake.enrolments.clear()
        pauses = self.steps(3)
        self.assertEqual(self.fake.asked, ["POST /api/identity/enrol"])
        self.assertGreaterEqual(pauses[1], PAUSE_MOST_S)
        self.fake.enrolments.add("haus_en_two")
        self.file.write_text("haus_en_two", encoding="ascii")
        self.assertEqual(self.member.step(), 30)

    def test_a_session_that_was_ended_leads_back_to_the_one_time_token(self):
        self.steps(1)
        self.fake.access_token = self.fake.refresh_token = "ended"
        self.steps(2)
        self.fake.enrolments.add("haus_en_two")
        self.file.write_text("haus_en_two", encoding="ascii")
        self.steps(1)
        self.assertEqual(self.member.state, f"registered as {NAME}/1")

    def test_pauses_grow_while_nobody_answers_and_one_line_is_logged(self):
        with mock.patch.dict(os.environ, {"HAUS_API": "http://127.0.0.1:9"}):
            pauses = self.steps(9)
        self.assertTrue(0.5 <= pauses[0] <= 1 and 2 <= pauses[2] <= 4, pauses)
        self.assertTrue(all(PAUSE_MOST_S / 2 <= pause <= PAUSE_MOST_S for pause in pauses[7:]), pauses)
        self.assertEqual(len(self.log.getvalue().splitlines()), 1, self.log.getvalue())

    def test_a_coordinator_that_wants_to_be_left_alone_is_left_alone(self):
        self.fake.instead["/api/identity/enrol"] = 429, {"code": "too-many-requests", "retry_after_s": 40}
        self.assertGreaterEqual(self.member.step(), 40)

    def test_an_answer_that_nobody_can_read_is_a_failure_like_others(self):
        for answer in ([], {}, {"access_token": "a", "refresh_token": "r", "expires_in": "soon"}, "text"):
            self.file.write_text(f"haus_en_{len(self.fake.asked)}", encoding="ascii")
            self.fake.instead["/api/identity/enrol"] = 200, answer
            self.assertGreater(self.member.step(), 0)
            self.assertIn("nobody can read", self.member.state)
            self.assertEqual(self.member.headers(), {})

    def test_no_token_is_in_the_log_and_in_the_state(self):
        self.steps(2)
        self.fake.access_token = self.fake.refresh_token = "ended"
        self.steps(4)
        for secret in ("access-", "refresh-", "haus_en_"):
            self.assertNotIn(secret, self.log.getvalue() + self.member.state)

    def test_the_thread_registers_and_leaves(self):
        self.member.start()
        self.fake.wait_for(lambda: self.fake.registered is not None)
        self.member.leave()
        self.fake.wait_for(lambda: f"DELETE /api/services/{NAME}" in self.fake.asked)
        self.member.left()
        self.assertIsNone(self.fake.registered)

    def test_without_a_coordinator_or_a_token_the_room_goes_on(self):
        with mock.patch.dict(os.environ):
            del os.environ["HAUS_API"]
            self.assertIsNone(Member.from_environment(NAME, 1, lambda: 0))
            self.assertIn("has no coordinator", house.coordinator_answers())
        self.file.unlink()
        self.assertGreaterEqual(self.member.step(), PAUSE_MOST_S)
        self.assertEqual(self.fake.asked, [])

    def test_heartbeats_are_neither_a_storm_nor_forgotten(self):
        self.assertEqual(interval({"heartbeat_interval_s": 0}), INTERVAL_LEAST_S)
        self.assertEqual(interval({"heartbeat_interval_s": 1e9}), 300)

    def test_the_load_is_a_share(self):
        share = ProcessorShare()
        self.assertTrue(0 <= share() <= 1.5)


class Discovery(Base):
    def test_rooms_are_asked_for_in_the_name_of_the_member_and_as_a_stranger_when_that_is_refused(self):
        self.steps(1)
        with mock.patch.object(house, "identified", self.member.headers):
            self.assertEqual(house.find("zimmer-17-sin-plugins"), ("127.0.0.1", 9))
            self.fake.access_token = "another"
            self.assertEqual(house.find("zimmer-01-n8n-manager"), ("127.0.0.1", 9))
        self.assertEqual(sum("discover" in asked for asked in self.fake.asked), 3)

    def test_a_room_is_called_where_it_was_last_while_the_coordinator_is_away(self):
        path = "/api/discover?service=zimmer-17-sin-plugins"
        self.assertEqual(house.find("zimmer-17-sin-plugins"), ("127.0.0.1", 9))
        self.fake.instead[path] = 503, {}
        self.assertEqual(house.find("zimmer-17-sin-plugins"), ("127.0.0.1", 9))
        with mock.patch.dict(os.environ, {"HAUS_API": "http://127.0.0.1:9"}):
            self.assertEqual(house.find("zimmer-17-sin-plugins"), ("127.0.0.1", 9))
            self.assertRaises(house.HouseError, house.find, "zimmer-01-n8n-manager")
        self.fake.instead[path] = 404, {}
        self.assertRaises(house.HouseError, house.find, "zimmer-17-sin-plugins")


if __name__ == "__main__":
    unittest.main()
