#!/usr/bin/env python3
"""Holds docs/python_worker.py to the contract of a worker, on the Kafka at BACKSTITCH_TEST_BOOTSTRAP.

It plays the orchestrator: it sends commands, reads what is answered, and looks into the worker's own database for what really
happened.
"""

import io
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from fastavro.schema import fingerprint, to_parsing_canonical_form

TOP = pathlib.Path(__file__).resolve().parents[2]
BOOTSTRAP = os.environ["BACKSTITCH_TEST_BOOTSTRAP"]
ANSWER_S = 60.0
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def read_schema(name):
    text = json.loads((TOP / "schemas" / "avsc" / f"{name}.avsc").read_text(encoding="utf-8"))
    mark = fingerprint(to_parsing_canonical_form(text), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(mark), fastavro.parse_schema(text)


COMMAND_FRAME, COMMAND = read_schema("command")
REPLY_FRAME, REPLY = read_schema("reply")


class Orchestrator:
    """Sends commands to a worker in a prefix of its own, and reads its replies in the partition that they were asked for."""

    PARTITION = 2

    def __init__(self):
        self.prefix = f"python-{uuid.uuid4().hex[:8]}"
        self.commands, self.inbox = f"{self.prefix}.commands.notify-customer", f"{self.prefix}.inbox"
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        for made in admin.create_topics([NewTopic(self.commands, 2, 1), NewTopic(self.inbox, 4, 1)]).values():
            made.result()
        self.producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "partitioner": "murmur2_random"})
        self.consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": self.prefix, "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(self.inbox, self.PARTITION, 0)])
        self.folder = tempfile.TemporaryDirectory()
        self.memory = pathlib.Path(self.folder.name) / "memory.db"
        self.worker = None

    def start_worker(self):
        self.worker = subprocess.Popen(
            [sys.executable, TOP / "docs" / "python_worker.py", "--bootstrap", BOOTSTRAP, "--prefix", self.prefix]
            + ["--schemas", TOP / "schemas" / "avsc", "--memory", self.memory]
        )

    def kill_worker(self):
        self.worker.kill()
        self.worker.wait()

    def close(self):
        self.kill_worker()
        self.consumer.close()
        AdminClient({"bootstrap.servers": BOOTSTRAP}).delete_topics([self.commands, self.inbox])
        self.folder.cleanup()

    def send(self, order, direction="DO", attempt=1, given=None, flush=True):
        saga = f"process-order/{order}"
        key = f"{saga}/notify_customer/{direction.lower()}"
        now = int(time.time() * 1000)
        command = {
            "saga": saga,
            "definition": "process-order",
            "step": "notify_customer",
            "direction": direction,
            "attempt": attempt,
            "activity": "notify-customer",
            "idempotency_key": key,
            "done_key": f"{saga}/notify_customer/do" if direction == "UNDO" else None,
            "input": json.dumps({"customer": "customer-7"} if given is None else given).encode(),
            "output": None,
            "reply_topic": self.inbox,
            "reply_partition": self.PARTITION,
            "sent_at_ms": now,
            "deadline_ms": now + 30_000,
        }
        value = io.BytesIO()
        fastavro.schemaless_writer(value, COMMAND, command)
        self.send_bytes(saga, COMMAND_FRAME + value.getvalue(), flush)
        return key

    def send_bytes(self, key, value, flush=True):
        self.producer.produce(self.commands, value, key, headers={"traceparent": TRACEPARENT, "ce_id": b"1"})
        if flush:
            self.producer.flush()

    def replies(self, count):
        """Returns the next so many replies, in their order."""
        found = []
        deadline = time.monotonic() + ANSWER_S
        while len(found) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} replies within {ANSWER_S} s: {found}")
            for record in self.consumer.consume(count - len(found), timeout=0.5):
                assert record.error() is None, record.error()
                assert record.value()[:10] == REPLY_FRAME, record.value()
                reply = fastavro.schemaless_reader(io.BytesIO(record.value()[10:]), REPLY)
                assert record.key().decode() == reply["saga"], record.key()
                assert record.headers() == [("traceparent", TRACEPARENT)], record.headers()
                found.append(reply)
        return found

    def notices(self):
        """Returns what the worker has done, in its order."""
        database = sqlite3.connect(f"file:{self.memory}?mode=ro", uri=True)
        try:
            return database.execute("SELECT key, what FROM notices ORDER BY rowid").fetchall()
        finally:
            database.close()


class PythonWorker(unittest.TestCase):
    def setUp(self):
        self.orchestrator = Orchestrator()
        self.orchestrator.start_worker()
        self.addCleanup(self.orchestrator.close)

    def test_a_command_is_carried_out_and_its_reply_copies_what_names_it(self):
        key = self.orchestrator.send("1", attempt=3)
        (reply,) = self.orchestrator.replies(1)
        self.assertEqual(reply["idempotency_key"], key)
        self.assertEqual((reply["saga"], reply["step"]), ("process-order/1", "notify_customer"))
        self.assertEqual((reply["direction"], reply["attempt"], reply["outcome"]), ("DO", 3, "DONE"))
        self.assertEqual(json.loads(reply["output"]), {"customer": "customer-7"})
        self.assertEqual(self.orchestrator.notices(), [(key, "sent")])

    def test_a_repeated_command_gets_the_same_answer_and_no_second_effect(self):
        key = self.orchestrator.send("1")
        self.orchestrator.send("1", attempt=2)
        self.orchestrator.send("1", attempt=2)
        first, *again = self.orchestrator.replies(3)
        self.assertEqual([reply["attempt"] for reply in again], [2, 2])
        for reply in again:
            self.assertEqual((reply["outcome"], reply["output"]), (first["outcome"], first["output"]))
        self.assertEqual(self.orchestrator.notices(), [(key, "sent")])

    def test_a_refused_command_changes_nothing_and_stays_refused(self):
        self.orchestrator.send("1", given={})
        self.orchestrator.send("1", attempt=2, given={"customer": "too late"})
        replies = self.orchestrator.replies(2)
        self.assertEqual([(reply["outcome"], reply["code"]) for reply in replies], [("REFUSED", "no_customer")] * 2)
        self.assertEqual(self.orchestrator.notices(), [])

    def test_an_undo_takes_back_what_was_done_and_once(self):
        key = self.orchestrator.send("1")
        self.orchestrator.send("1", "UNDO")
        self.orchestrator.send("1", "UNDO", attempt=2)
        self.assertEqual([reply["outcome"] for reply in self.orchestrator.replies(3)], ["DONE"] * 3)
        self.assertEqual(self.orchestrator.notices(), [(key, "sent"), (key, "taken back")])

    def test_an_undo_of_what_was_refused_has_nothing_to_take_back(self):
        self.orchestrator.send("1", given={})
        self.orchestrator.send("1", "UNDO", given={})
        self.assertEqual([reply["outcome"] for reply in self.orchestrator.replies(2)], ["REFUSED", "DONE"])
        self.assertEqual(self.orchestrator.notices(), [])

    def test_an_undo_that_comes_first_bars_the_late_do(self):
        self.orchestrator.send("1", "UNDO")
        self.orchestrator.send("1")
        undone, refused = self.orchestrator.replies(2)
        self.assertEqual(undone["outcome"], "DONE")
        self.assertEqual((refused["outcome"], refused["code"]), ("REFUSED", "undone_before_done"))
        self.assertEqual(self.orchestrator.notices(), [])

    def test_what_is_no_command_is_passed_over(self):
        self.orchestrator.send_bytes("process-order/1", b"garbage")
        self.orchestrator.send_bytes("process-order/1", REPLY_FRAME + b"\x00")
        self.orchestrator.send("1")
        self.assertEqual([reply["outcome"] for reply in self.orchestrator.replies(1)], ["DONE"])

    def test_killed_at_any_moment_it_answers_everything_and_does_nothing_twice(self):
        self.orchestrator.kill_worker()
        keys = {self.orchestrator.send(str(order), flush=False) for order in range(500)}
        self.orchestrator.producer.flush()
        answered = set()
        for _ in range(3):
            self.orchestrator.start_worker()
            answered.update(reply["idempotency_key"] for reply in self.orchestrator.replies(1))
            self.orchestrator.kill_worker()
        self.orchestrator.start_worker()
        while answered != keys:
            answered.update(reply["idempotency_key"] for reply in self.orchestrator.replies(1))
        self.assertEqual(sorted(self.orchestrator.notices()), sorted((key, "sent") for key in keys))


if __name__ == "__main__":
    unittest.main()
