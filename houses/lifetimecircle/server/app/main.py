"""A stand-in for the application of this house: the same contract towards its operator, none of its functions.

It keeps what an operator meets: the variables, the four data folders, the health ladder (`/health` proves only the
process, `/blog` writes, `/public/qr/…` reads), the limits of an upload, and the identity headers that must not get
through. Accounts, mail and pages are not here.
"""

import os
import re
import secrets
import sqlite3
import sys
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

# The folder above `server`, as in the original: this is why the links `data` and `storage` beside `server` are needed.
ROOT = Path(__file__).resolve().parents[2]
UPLOAD_BYTES_MAX = 10 * 1024 * 1024
UPLOAD_TYPES = {"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg"}
ARTICLES = [
    ("willkommen", "Willkommen im Serviceheft", "Welcome to the service book"),
    ("ersteintrag", "Der erste Eintrag", "The first entry"),
]


def secret_key() -> str:
    """The key of the application, from the credential file; without one it must not start."""
    path = os.environ.get("LTC_SECRET_KEY_FILE")
    key = Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get("LTC_SECRET_KEY", "")
    if not key:
        sys.exit("LTC_SECRET_KEY is not set")
    return key


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """A connection per request: SQLite connections belong to one thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5)
    connection.executescript(schema)
    return connection


def app_database() -> sqlite3.Connection:
    return open_database(
        Path(os.environ.get("LTC_DB_PATH", "data/app.db")),
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE IF NOT EXISTS article (slug TEXT PRIMARY KEY, de TEXT NOT NULL, en TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS vehicle (id TEXT PRIMARY KEY, entries INTEGER NOT NULL);",
    )


def documents_database() -> sqlite3.Connection:
    return open_database(
        ROOT / "data" / "documents.sqlite",
        "CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, filename TEXT NOT NULL, type TEXT NOT NULL,"
        " size_bytes INTEGER NOT NULL, storage_relpath TEXT NOT NULL);",
    )


IS_PRODUCTION = os.environ.get("LTC_ENV") == "prod"
TRUSTS_HEADERS = os.environ.get("LTC_ALLOW_DEV_HEADERS") == "1"
secret_key()
# As in the original, made while the module loads: without the link this fails for an account that owns nothing here.
(ROOT / "storage" / "documents").mkdir(parents=True, exist_ok=True)
app = FastAPI(
    title="lifetimecircle stand-in",
    docs_url=None,
    redoc_url=None,
    openapi_url=None if IS_PRODUCTION else "/openapi.json",
)


@app.exception_handler(sqlite3.Error)
async def database_failed(_request: Request, error: sqlite3.Error):
    print(f"database: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return JSONResponse({"error": "internal_error"}, 500)


@app.get("/health")
def health():
    """The process answers; nothing more is proved."""
    return {"ok": True}


@app.get("/blog")
def blog():
    """The articles; the first call writes them, so this proves that the database can be written."""
    with app_database() as database:
        if database.execute("SELECT count(*) FROM article").fetchone()[0] == 0:
            database.executemany("INSERT INTO article VALUES (?, ?, ?)", ARTICLES)
        rows = database.execute("SELECT slug, de, en FROM article ORDER BY slug").fetchall()
    return [{"slug": slug, "title": {"de": german, "en": english}} for slug, german, english in rows]


@app.get("/public/qr/{vehicle}")
def public_view(vehicle: str):
    """What anyone sees who scans the code of a vehicle: a read of the database, without personal data."""
    with app_database() as database:
        row = database.execute("SELECT entries FROM vehicle WHERE id = ?", (vehicle,)).fetchone()
    entries = row[0] if row else 0
    return {
        "vehicle": vehicle,
        "known": row is not None,
        "trust_light": "green" if entries > 5 else "yellow" if entries else "red",
        "entries": entries,
        "verified": False,
        "documents": 0,
        "hint": {"de": "Nachweise zeigt der Halter.", "en": "The keeper shows the evidence."},
        "disclaimer": {"de": "Keine Zusage über den technischen Zustand.", "en": "No statement about the condition."},
    }


@app.post("/documents", status_code=201)
async def upload(request: Request):
    """Stores one document given as the body. Only for tests with a switch that no production may have."""
    if not (TRUSTS_HEADERS and request.headers.get("x-ltc-uid")):
        raise HTTPException(401, "login needed")
    kind = UPLOAD_TYPES.get(request.headers.get("content-type", ""))
    if kind is None:
        raise HTTPException(415, "pdf, png or jpeg")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > UPLOAD_BYTES_MAX:
            raise HTTPException(413, "at most 10 MiB")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", request.headers.get("x-filename", f"document.{kind}"))[-80:]
    number = secrets.token_hex(16)
    relative = f"documents/{number}_{name}"
    # The file before its row, so every row of a backup has its file.
    (ROOT / "storage" / relative).write_bytes(content)
    with documents_database() as database:
        row = (number, name, request.headers["content-type"], len(content), relative)
        database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", row)
    return {"id": number, "filename": name, "size_bytes": len(content)}
