"""Zimmer 16: looks into PostgreSQL without being able to change anything.

It connects as the role `leser`, whose sessions are read-only; names of tables are first compared with the catalogue.
"""

from html import escape

from fastapi import HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from psycopg2 import sql
from room import Room
from stores import Postgres, StoreError

CELL_CHARACTERS_MAX = 200

room = Room(
    "Zeigt die Tabellen in PostgreSQL, nur lesend.",
    "Shows the tables in PostgreSQL, read-only.",
    ["/tables", "/health"],
)
room.answers(StoreError, 503)
postgres = Postgres()


@room.check("postgres")
def postgres_answers() -> str:
    return postgres.ping()


@room.check("read-only")
def cannot_write() -> str:
    if postgres.query("SELECT current_setting('transaction_read_only') AS value")[0]["value"] != "on":
        raise RuntimeError("this session could write")
    return "on"


def table_names() -> list[dict]:
    return postgres.query(
        "SELECT n.nspname AS schema, c.relname AS table, greatest(c.reltuples, 0)::bigint AS rows_about,"
        " pg_total_relation_size(c.oid) AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        " ORDER BY 1, 2"
    )


@room.app.get("/tables")
def tables(request: Request):
    found = table_names()
    if wants_page(request):
        return HTMLResponse(table_page("Tabellen · tables", found, link=True))
    return found


@room.app.get("/tables/{schema}/{table}")
def table(
    request: Request, schema: str, table: str, limit: int = Query(50, ge=1, le=500), offset: int = Query(0, ge=0)
):
    if not any(row["schema"] == schema and row["table"] == table for row in table_names()):
        raise HTTPException(404, "no such table")
    rows = postgres.query(
        sql.SQL("SELECT * FROM {} LIMIT %s OFFSET %s").format(sql.Identifier(schema, table)), (limit, offset)
    )
    if wants_page(request):
        return HTMLResponse(table_page(f"{schema}.{table}", rows, link=False))
    return rows


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def table_page(title: str, rows: list[dict], link: bool) -> str:
    """A plain HTML table; long cells are cut so that one row cannot fill the screen."""
    columns = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = [escape(str(row[column])[:CELL_CHARACTERS_MAX]) for column in columns]
        if link:
            target = escape(f"/tables/{row['schema']}/{row['table']}", True)
            cells[1] = f'<a href="{target}">{cells[1]}</a>'
        body += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    return (
        f'<!doctype html><html lang="de"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.4 system-ui;margin:1rem;'
        "color-scheme:light dark}div{overflow-x:auto}td,th{text-align:left;padding:.2rem .8rem .2rem 0;"
        f"vertical-align:top}}</style></head><body><h1>{escape(title)}</h1><div><table><tr>{head}</tr>{body}"
        "</table></div></body></html>"
    )


if __name__ == "__main__":
    room.serve()
