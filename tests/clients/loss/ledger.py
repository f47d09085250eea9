"""The ledger of one writer of the loss test: what a client asked a broker for, and what it was told.

A ledger is a file of JSON lines, written by the client's program as it goes. Every line has `at`, milliseconds of the wall clock.

  {"sent": 7, "partition": 1, "at": …}                         before record 7 is given to the client; with "transaction": 3 if in one
  {"acked": 7, "partition": 1, "offset": 42, "at": …}          the client said that it is kept there; an offset below 0 is one not told
  {"failed": 7, "error": "…", "at": …}                         the client gave it up: it may be there, once
  {"begun": 3, "at": …}                                        a transaction
  {"ending": 3, "as": "committed" | "aborted", "at": …}        before the client is asked to end it so
  {"ended": 3, "as": "committed" | "aborted" | "unknown", "at": …}   after; no such line counts as unknown
  {"trouble": "…", "at": …}                                    a client that had to be made anew, and why

Records are numbered from 0 in the order in which they are sent, over all partitions. The value of a record is `WRITER/NUMBER`.
"""

import bisect
import dataclasses
import json
import pathlib

COMMITTED, ABORTED, UNKNOWN = "committed", "aborted", "unknown"


@dataclasses.dataclass
class Record:
    """One record as its writer saw it. `offset` is None while it is not acknowledged."""

    partition: int
    transaction: int | None
    sent_at_ms: int
    offset: int | None = None
    acked_at_ms: int | None = None
    error: str | None = None


@dataclasses.dataclass
class Transaction:
    """One transaction as its writer saw it."""

    begun_at_ms: int
    ending_at_ms: int | None = None
    ended_at_ms: int | None = None
    outcome: str = UNKNOWN


@dataclasses.dataclass
class Ledger:
    """What one writer wrote down."""

    writer: str
    records: dict[int, Record] = dataclasses.field(default_factory=dict)
    transactions: dict[int, Transaction] = dataclasses.field(default_factory=dict)
    troubles: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, file):
        """Reads the ledger of the writer that the file is named after. A line that is none raises ValueError with its number."""
        ledger = cls(pathlib.Path(file).stem)
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    ledger.note(json.loads(line))
                except (ValueError, KeyError) as error:
                    raise ValueError(f"{file}:{number}: not a line of a ledger ({error!r}): {line.strip()[:200]}") from error
        return ledger

    def note(self, line):
        """Adds one line. An answer to what was never asked raises KeyError."""
        at_ms = line["at"]
        if "sent" in line:
            self.records[line["sent"]] = Record(line["partition"], line.get("transaction"), at_ms)
        elif "acked" in line:
            record = self.records[line["acked"]]
            record.offset, record.acked_at_ms = line["offset"], at_ms
        elif "failed" in line:
            self.records[line["failed"]].error = line["error"]
        elif "begun" in line:
            self.transactions[line["begun"]] = Transaction(at_ms)
        elif "ending" in line:
            self.transactions[line["ending"]].ending_at_ms = at_ms
        elif "ended" in line:
            transaction = self.transactions[line["ended"]]
            transaction.ended_at_ms, transaction.outcome = at_ms, line["as"]
            if transaction.outcome not in (COMMITTED, ABORTED, UNKNOWN):
                raise ValueError(f"a transaction is not {transaction.outcome}")
        else:
            self.troubles.append(line["trouble"])

    def outcome(self, record):
        """How the transaction of a record ended; a record outside of transactions is committed."""
        return COMMITTED if record.transaction is None else self.transactions[record.transaction].outcome

    def in_flight(self, moments_ms):
        """For each moment, how many of the records that were acknowledged in the end were on their way then."""
        answered = [record for record in self.records.values() if record.acked_at_ms is not None]
        return _open_at(moments_ms, [record.sent_at_ms for record in answered], [record.acked_at_ms for record in answered])

    def amid_ending(self, moments_ms):
        """For each moment, how many commits and aborts were asked for and not answered then."""
        ended = [one for one in self.transactions.values() if one.ending_at_ms is not None and one.ended_at_ms is not None]
        return _open_at(moments_ms, [one.ending_at_ms for one in ended], [one.ended_at_ms for one in ended])


def _open_at(moments, began, ended):
    """How many of the spans were open at each moment."""
    began, ended = sorted(began), sorted(ended)
    return [bisect.bisect_right(began, moment) - bisect.bisect_right(ended, moment) for moment in moments]
