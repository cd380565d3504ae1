"""Rows by the thousand, made from one by SQL: what the edges would take minutes for."""

from __future__ import annotations

from speechsense_watch.core.model import Job
from speechsense_watch.edge.queue import SqliteQueue

# Instead of the copied column's value; `i` is the copy's number, counted over all calls by the highest id.
_OWN = {
    "place": "CAST(printf('many/%08d.wav', i) AS BLOB)",
    "audio_path": "CAST(printf('many/%08d.wav', i) AS BLOB)",
    "metadata_path": "CAST(printf('many/%08d.json', i) AS BLOB)",
    "directory": "CAST('many' AS BLOB)",
    "uid": "printf('%064x', i)",
    "talk_id": "CASE WHEN talk_id IS NULL THEN NULL ELSE printf('talk-%d', i) END",
}


def multiply(queue: SqliteQueue, job: Job, count: int, **own: object) -> list[int]:
    """`count` more jobs like this one, each at a place of its own; returns their ids, in order. `own` are SQL expressions
    over `i`, 0 for the first, by column.
    """
    columns = [row["name"] for row in queue.rows("SELECT name FROM pragma_table_info('jobs') WHERE name <> 'id'")]
    last = int(queue.rows("SELECT max(id) AS n FROM jobs")[0]["n"])
    values = {column: _OWN.get(column, column) for column in columns}
    values = {column: value.replace("i)", f"i + {last})") for column, value in values.items()}
    if job.uid is None:
        values["uid"] = "NULL"
    values |= {column: str(expression) for column, expression in own.items()}
    chosen = ", ".join(values[column] for column in columns)
    sql = (
        f"WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i + 1 < {count})"  # noqa: S608 - a test's own words
        f" INSERT INTO jobs ({', '.join(columns)}) SELECT {chosen} FROM k, jobs WHERE id = {job.id}"
        " ORDER BY i"
    )
    with queue.transaction() as conn:
        conn.execute(sql)
    return [row["id"] for row in queue.rows("SELECT id FROM jobs WHERE id > ? ORDER BY id", (last,))]
