"""The book is in balance, whatever comes and however often."""
import json
import unittest

import reservations


def command(direction, amount=12):
    key = "{{name}}/4711/{{step}}/"
    return {
        "idempotency_key": key + direction.lower(),
        "done_key": key + "do" if direction == "UNDO" else None,
        "direction": direction,
        "input": json.dumps({"id": "4711", "amount": amount}).encode(),
    }


class Reservations(unittest.TestCase):
    def setUp(self):
        self.db = reservations.open_database(":memory:")
        self.addCleanup(self.db.close)

    def balance(self):
        return self.db.execute("SELECT coalesce(sum(amount), 0) FROM reservation").fetchone()[0]

    def test_a_command_that_comes_twice_is_done_once(self):
        first, again = (reservations.answer(self.db, command("DO")) for _ in range(2))
        self.assertEqual((first[0], first), ("DONE", tuple(again)))
        self.assertEqual(self.balance(), 12)

    def test_what_is_undone_leaves_the_book_in_balance(self):
        reservations.answer(self.db, command("DO"))
        for _ in range(2):
            self.assertEqual(reservations.answer(self.db, command("UNDO"))[0], "DONE")
        self.assertEqual(self.balance(), 0)

    def test_an_undo_that_comes_first_bars_the_do(self):
        self.assertEqual(reservations.answer(self.db, command("UNDO"))[0], "DONE")
        self.assertEqual(reservations.answer(self.db, command("DO"))[2], "undone_before_done")
        self.assertEqual(self.balance(), 0)

    def test_there_is_nothing_to_reserve_of_nothing(self):
        self.assertEqual(reservations.answer(self.db, command("DO", 0))[0], "REFUSED")


if __name__ == "__main__":
    unittest.main()
