"""The activity {{activity}}: a book of what is reserved, and the memory of answers, in one database."""
import json
import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, outcome TEXT, output BLOB, code TEXT);
CREATE TABLE IF NOT EXISTS reservation (key TEXT PRIMARY KEY, request TEXT NOT NULL, amount INTEGER NOT NULL);
"""


def open_database(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(TABLES)
    return db


def answer(db, command):
    """Carries a command out, inside the caller's transaction: outcome, output and code."""
    key = command["idempotency_key"]
    known = db.execute("SELECT outcome, output, code FROM answer WHERE key = ?", [key]).fetchone()
    if known:  # A key is answered once, and that answer is repeated.
        return known
    said = undo(db, command) if command["direction"] == "UNDO" else do(db, command)
    db.execute("INSERT INTO answer VALUES (?, ?, ?, ?)", [key, *said])
    return said


def do(db, command):
    given = json.loads(command["input"])
    request, amount = given.get("id"), given.get("amount")
    if not isinstance(request, str) or not isinstance(amount, int):
        return "REFUSED", None, "bad_input"  # Refused means that nothing changed.
    if amount <= 0:
        return "REFUSED", None, "nothing_to_reserve"
    db.execute("INSERT INTO reservation VALUES (?, ?, ?)", [command["idempotency_key"], request, amount])
    return "DONE", json.dumps({"reservation_id": f"r-{request}"}).encode(), None


def undo(db, command):
    """Takes back what the do has done. Where it has not come yet, it must find itself refused when it does."""
    done_key = command["done_key"]
    db.execute("INSERT OR IGNORE INTO answer VALUES (?, 'REFUSED', NULL, 'undone_before_done')", [done_key])
    db.execute(
        "INSERT INTO reservation SELECT ?, request, -amount FROM reservation WHERE key = ?",
        [command["idempotency_key"], done_key],
    )
    return "DONE", None, None
