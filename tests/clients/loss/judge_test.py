#!/usr/bin/env python3
"""The judge of the loss test is told of planted faults, and says each; of a history without fault it says nothing."""

import copy
import pathlib
import tempfile
import unittest

from judge import KINDS, Place, judge
from ledger import Ledger

# Record 0 to 2 alone, 3 and 4 in a committed transaction, 5 and 6 in an aborted one, 7 and 8 in one of unknown end, 9 given up.
LINES = [
    *({"sent": n, "partition": 0, "at": n} for n in range(3)),
    *({"acked": n, "partition": 0, "offset": n, "at": 10 + n} for n in range(3)),
    *(
        line
        for transaction, (first, offset, outcome) in enumerate([(3, 3, "committed"), (5, 6, "aborted"), (7, 9, "unknown")])
        for line in (
            {"begun": transaction, "at": 20},
            *({"sent": n, "partition": 0, "transaction": transaction, "at": 21} for n in (first, first + 1)),
            *({"acked": first + n, "partition": 0, "offset": offset + n, "at": 22} for n in (0, 1)),
            {"ending": transaction, "as": "committed", "at": 23},
            {"ended": transaction, "as": outcome, "at": 25},
        )
    ),
    {"sent": 9, "partition": 0, "at": 30},
    {"failed": 9, "error": "timed out", "at": 40},
]


def told():
    """The ledger of writer `w` that these lines make."""
    ledger = Ledger("w")
    for line in copy.deepcopy(LINES):
        ledger.note(line)
    return ledger


def log():
    """The log that fits them: offset to number; 5, 8 and 11 are the ends of transactions."""
    return {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 7: 6, 9: 7, 10: 8}


def found(there, hidden=(5, 6, 7, 8), extra=()):
    """What the judge finds: kind to what it says, of the kinds about which it says anything."""
    uncommitted = [Place(0, offset, f"w/{number}") for offset, number in there.items()] + list(extra)
    committed = [place for place in uncommitted if place.value not in {f"w/{number}" for number in hidden}]
    return {kind: words for kind, words in judge(told(), uncommitted, committed).findings.items() if words}


class TheJudge(unittest.TestCase):
    """Each test plants one fault."""

    def test_nothing_is_said_of_a_history_without_fault(self):
        self.assertEqual(found(log()), {})

    def test_an_unknown_transaction_may_be_there_whole(self):
        self.assertEqual(found(log(), hidden=(5, 6)), {})

    def test_a_record_that_was_given_up_may_be_there_once(self):
        self.assertEqual(found({**log(), 12: 9}), {})

    def test_a_lost_record_is_told(self):
        without = log()
        del without[1]
        said = found(without)
        self.assertEqual(list(said), ["lost"])
        self.assertIn("w/1, acknowledged at 0:1", said["lost"])

    def test_a_record_of_a_committed_transaction_that_is_hidden_is_lost(self):
        self.assertEqual(found(log(), hidden=(4, 5, 6, 7, 8)), {"lost": ["w/4 of committed transaction 0"]})

    def test_an_acknowledged_record_of_an_aborted_transaction_must_be_in_the_log(self):
        without = log()
        del without[7]
        self.assertEqual(found(without), {"lost": ["w/6, acknowledged at 0:7"]})

    def test_a_doubled_record_is_told(self):
        self.assertEqual(found({**log(), 12: 2}), {"doubled": ["w/2 at 0:2, 0:12"]})

    def test_a_record_that_was_given_up_and_is_there_twice_is_told(self):
        self.assertEqual(found({**log(), 12: 9, 13: 9}), {"doubled": ["w/9 at 0:12, 0:13"]})

    def test_records_out_of_order_are_told(self):
        said = found({**log(), 1: 2, 2: 1})
        self.assertEqual(said["disordered"], ["w/1 at 0:2, after w/2"])
        self.assertEqual(len(said["misplaced"]), 2)

    def test_a_record_at_another_offset_than_was_said_is_told(self):
        moved = log()
        moved[12] = moved.pop(10)
        self.assertEqual(found(moved), {"misplaced": ["w/8, acknowledged at 0:10, is at 0:12"]})

    def test_an_aborted_record_that_is_seen_is_told(self):
        self.assertEqual(found(log(), hidden=(5, 7, 8)), {"aborted visible": ["w/6 of transaction 1"]})

    def test_a_torn_transaction_is_told(self):
        self.assertEqual(found(log(), hidden=(5, 6, 7)), {"torn": ["w's transaction 2: 1 of 2 records"]})

    def test_a_record_that_nobody_sent_is_told(self):
        self.assertEqual(found(log(), extra=[Place(0, 12, "w/77")]), {"strange": ["'w/77' at 0:12"]})
        self.assertEqual(found(log(), extra=[Place(1, 0, "v/1")]), {"strange": ["'v/1' at 1:0"]})

    def test_no_kind_of_fault_is_left_out_of_these_tests(self):
        planted = [found({**log(), 1: 2, 2: 1}), found(log(), hidden=(5, 7, 8)), found(log(), hidden=(5, 6, 7)), found({}), found({**log(), 12: 2})]
        planted.append(found(log(), extra=[Place(0, 12, "")]))
        self.assertEqual({kind for said in planted for kind in said}, set(KINDS))

    def test_what_a_kill_cut_is_known_from_the_ledger(self):
        ledger = told()
        self.assertEqual(ledger.in_flight([5, 15]), [3, 0])
        self.assertEqual(ledger.amid_ending([24, 26]), [3, 0])  # Three, as all of them end at once here.

    def test_a_line_that_is_none_is_refused_with_its_number(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "w.jsonl"
            file.write_text('{"sent": 0, "partition": 0, "at": 1}\n{"acked": 1, "offset": 0, "at": 2}\n')
            with self.assertRaisesRegex(ValueError, "w.jsonl:2"):
                Ledger.read(file)


if __name__ == "__main__":
    unittest.main()
