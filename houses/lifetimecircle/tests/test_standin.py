"""The stand-in without a running house: /usr/bin/python3 -m unittest discover houses/lifetimecircle/tests"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
DIST = HOUSE / "packages" / "web" / "dist"
LINKS = {"server/data": "data", "server/storage": "storage", "data": "data", "storage": "storage"}

# The application looks for its folders beside its own source file, so each test gets a checkout of its own.
CALLS = """
import sys, sqlite3, os
sys.dont_write_bytecode = True
sys.path.insert(0, "server")
from app import main
assert main.health() == {"ok": True}
assert [article["slug"] for article in main.blog()] == ["ersteintrag", "willkommen"]
view = main.public_view("unknown")
assert len(view) == 8 and view["trust_light"] == "red" and view["disclaimer"]
with main.documents_database() as database:
    database.execute("INSERT INTO documents VALUES ('a', 'a.pdf', 'application/pdf', 1, 'documents/a')")
print(main.app.openapi_url)
"""


class StandIn(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.checkout, self.data = Path(folder.name) / "checkout", Path(folder.name) / "state"
        shutil.copytree(HOUSE / "server" / "app", self.checkout / "server" / "app")
        for link, target in LINKS.items():
            (self.data / target).mkdir(parents=True, exist_ok=True)
            (self.checkout / link).symlink_to(self.data / target)
        (self.data / "key").write_text("k" * 48)

    def call(self, **environment: str):
        database = str(self.data / "data" / "app.db")
        env = {"PATH": os.environ["PATH"], "LTC_DB_PATH": database, **environment}
        return subprocess.run(
            [sys.executable, "-B", "-c", CALLS], cwd=self.checkout, env=env, capture_output=True, text=True, timeout=30
        )

    def test_everything_lasting_lands_in_the_data_folder(self):
        result = self.call(LTC_ENV="prod", LTC_SECRET_KEY_FILE=str(self.data / "key"))
        self.assertEqual((result.returncode, result.stdout.strip()), (0, "None"), result.stderr)
        self.assertTrue((self.data / "data" / "app.db").is_file())
        self.assertTrue((self.data / "data" / "documents.sqlite").is_file())
        self.assertTrue((self.data / "storage" / "documents").is_dir())

    def test_only_the_exact_word_prod_closes_the_documentation(self):
        result = self.call(LTC_ENV="production", LTC_SECRET_KEY_FILE=str(self.data / "key"))
        self.assertEqual(result.stdout.strip(), "/openapi.json", result.stderr)

    def test_without_a_key_it_does_not_start(self):
        result = self.call(LTC_ENV="prod")
        self.assertEqual(result.returncode, 1)
        self.assertIn("LTC_SECRET_KEY", result.stderr)


class Web(unittest.TestCase):
    def test_the_page_names_assets_that_exist_and_whose_hash_is_right(self):
        names = re.findall(r'"/(assets/[^"]+)"', (DIST / "index.html").read_text(encoding="utf-8"))
        self.assertEqual(len(names), 2)
        for name in names:
            digest = hashlib.sha256((DIST / name).read_bytes()).hexdigest()
            self.assertEqual(re.search(r"-([0-9a-f]{8})\.", name)[1], digest[:8], name)


if __name__ == "__main__":
    unittest.main()
