"""Compares what writers were told with what is there. Values in, a verdict out: it talks to no broker."""

import collections
import dataclasses

from ledger import ABORTED, COMMITTED, UNKNOWN

# What can be wrong, and what each word means.
KINDS = {
    "lost": "acknowledged, or of a committed transaction, and not there",
    "doubled": "there more than once",
    "disordered": "after one that was sent later to the same partition",
    "misplaced": "at another offset than its acknowledgement said",
    "aborted visible": "of an aborted transaction, and seen by read_committed",
    "torn": "a transaction of unknown end, seen by read_committed in part",
    "strange": "there, and sent by nobody",
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A record as a reader saw it."""

    partition: int
    offset: int
    value: str


@dataclasses.dataclass
class Verdict:
    """What was found for one writer: its figures, and for each kind what is wrong, in words."""

    writer: str
    figures: dict[str, int]
    findings: dict[str, list[str]]

    @property
    def is_clean(self):
        return not any(self.findings.values())


def judge(ledger, uncommitted, committed):
    """The verdict on one writer, whose topic was read whole: `uncommitted` has every record of the log by partition and offset,
    `committed` those that read_committed shows."""
    findings = {kind: [] for kind in KINDS}
    places = _places(ledger, uncommitted, findings)
    visible = _places(ledger, committed, findings)
    _once(ledger, places, visible, findings)
    _acknowledged(ledger, places, {(place.partition, place.offset): place.value for place in uncommitted}, findings)
    _in_order(ledger, places, findings)
    _transactions(ledger, visible, findings)
    return Verdict(ledger.writer, _figures(ledger, places, visible), {kind: sorted(set(words)) for kind, words in findings.items()})


def _places(ledger, seen, findings):
    """Where each record is, by number; what nobody sent is strange."""
    places = collections.defaultdict(list)
    for place in seen:
        writer, _, number = place.value.rpartition("/")
        record = ledger.records.get(int(number)) if number.isdigit() else None
        if writer != ledger.writer or record is None or record.partition != place.partition:
            findings["strange"].append(f"{place.value!r} at {place.partition}:{place.offset}")
        else:
            places[int(number)].append(place)
    return places


def _once(ledger, places, visible, findings):
    for number, found in [*places.items(), *visible.items()]:
        if len(found) > 1:
            where = ", ".join(f"{place.partition}:{place.offset}" for place in found)
            findings["doubled"].append(f"{ledger.writer}/{number} at {where}")


def _acknowledged(ledger, places, log, findings):
    """What was acknowledged is there, where the acknowledgement said, also if its transaction was aborted."""
    for number, record in ledger.records.items():
        if record.offset is None:
            continue
        name = f"{ledger.writer}/{number}"
        if number not in places:
            findings["lost"].append(f"{name}, acknowledged at {record.partition}:{record.offset}")
        elif record.offset >= 0 and log.get((record.partition, record.offset)) != name:
            there = places[number][0]
            findings["misplaced"].append(f"{name}, acknowledged at {record.partition}:{record.offset}, is at {there.partition}:{there.offset}")


def _in_order(ledger, places, findings):
    """Records that a client did not give up stand in the order in which they were sent. Of one that is doubled, the first counts."""
    firsts = collections.defaultdict(list)
    for number, found in places.items():
        if ledger.records[number].error is None:
            first = min(found, key=lambda place: place.offset)
            firsts[first.partition].append((first.offset, number))
    for partition, there in firsts.items():
        newest = -1
        for offset, number in sorted(there):
            if number < newest:
                findings["disordered"].append(f"{ledger.writer}/{number} at {partition}:{offset}, after {ledger.writer}/{newest}")
            newest = max(newest, number)


def _transactions(ledger, visible, findings):
    """What read_committed shows of each transaction. Without one, what is acknowledged is to be seen."""
    members = collections.defaultdict(list)
    for number, record in ledger.records.items():
        if record.transaction is not None:
            members[record.transaction].append(number)
        elif record.offset is not None and number not in visible:
            findings["lost"].append(f"{ledger.writer}/{number}, acknowledged at {record.partition}:{record.offset}, for read_committed")
    for transaction, numbers in members.items():
        outcome = ledger.transactions[transaction].outcome
        seen = [number for number in numbers if number in visible]
        if outcome == COMMITTED:
            for number in sorted(set(numbers) - set(seen)):
                findings["lost"].append(f"{ledger.writer}/{number} of committed transaction {transaction}")
        elif outcome == ABORTED:
            findings["aborted visible"] += [f"{ledger.writer}/{number} of transaction {transaction}" for number in seen]
        elif outcome == UNKNOWN and seen and len(seen) < len(numbers):
            findings["torn"].append(f"{ledger.writer}'s transaction {transaction}: {len(seen)} of {len(numbers)} records")


def _figures(ledger, places, visible):
    records, outcomes = ledger.records.values(), collections.Counter(one.outcome for one in ledger.transactions.values())
    return {
        "sent": len(records),
        "acked": sum(record.offset is not None for record in records),
        "acked without offset": sum(record.offset is not None and record.offset < 0 for record in records),
        "failed": sum(record.error is not None for record in records),
        "unanswered": sum(record.offset is None and record.error is None for record in records),
        "in the log": sum(map(len, places.values())),
        "visible": sum(map(len, visible.values())),
        "transactions": len(ledger.transactions),
        "committed": outcomes[COMMITTED],
        "aborted": outcomes[ABORTED],
        "unknown": outcomes[UNKNOWN],
        "clients made anew": len(ledger.troubles),
    }
