"""A writer of the loss test on confluent-kafka, that is librdkafka. See writers.py for its arguments and ledger.py for what it writes."""

import json
import random
import sys
import time

from confluent_kafka import KafkaException, Producer

# Records a transaction, and of transactions the share that is aborted.
TRANSACTION_RECORDS, ABORTED_SHARE = 20, 0.25
# Records a turn without transactions, and the pause after each turn and transaction, in seconds.
TURN_RECORDS, PAUSE_S = 4, 0.01
# Longest wait at the end for what is on its way, in seconds.
FLUSH_S = 120


class Writer:
    """Sends records and writes down what it is told of them."""

    def __init__(self, bootstrap, topic, partitions, ledger, mode, seed):
        self.topic, self.partitions, self.chance = topic, partitions, random.Random(seed)
        self.file, self.writer = open(ledger, "w", encoding="utf-8"), topic  # pylint: disable=consider-using-with
        self.settings = {
            "bootstrap.servers": bootstrap, "broker.address.family": "v4", "acks": "all", "enable.idempotence": True, "linger.ms": 2,
            "message.timeout.ms": 120_000, "retry.backoff.ms": 20, "retry.backoff.max.ms": 100, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100,
        }
        if mode == "transactional":
            self.settings |= {"transactional.id": topic, "transaction.timeout.ms": 30_000, "message.timeout.ms": 30_000}
        self.sent = self.transactions = 0
        self.producer = self.made()

    def note(self, **line):
        self.file.write(json.dumps({**line, "at": time.time_ns() // 1_000_000}) + "\n")

    def made(self):
        producer = Producer(self.settings)
        if "transactional.id" in self.settings:
            self.retried(lambda: producer.init_transactions(30))
        return producer

    def made_anew(self, trouble):
        """Another producer, once everything that the older one had is answered."""
        self.note(trouble=str(trouble))
        self.producer.purge()
        self.producer.flush(10)
        self.producer = self.made()

    @staticmethod
    def retried(work):
        while True:
            try:
                return work()
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise

    def told(self, number):
        def on_delivery(error, message):
            if error:
                self.note(failed=number, error=str(error))
            else:
                self.note(acked=number, partition=message.partition(), offset=-1 if message.offset() is None else message.offset())

        return on_delivery

    def send(self, transaction=None):
        number, partition = self.sent, self.chance.randrange(self.partitions)
        while True:
            try:
                if self.sent == number:
                    self.sent += 1
                    self.note(sent=number, partition=partition, **({} if transaction is None else {"transaction": transaction}))
                self.producer.produce(self.topic, f"{self.writer}/{number}".encode(), partition=partition, on_delivery=self.told(number))
                return
            except BufferError:
                self.producer.poll(0.1)
            except KafkaException as error:
                self.note(failed=number, error=str(error))
                raise

    def pause(self):
        """Hears of deliveries meanwhile."""
        end = time.monotonic() + PAUSE_S
        while (left := end - time.monotonic()) > 0:
            self.producer.poll(left)

    def turn(self):
        try:
            for _ in range(TURN_RECORDS):
                self.send()
        except KafkaException as error:
            self.made_anew(error)
        self.file.flush()
        self.pause()

    def transaction(self):
        transaction, wanted = self.transactions, "aborted" if self.chance.random() < ABORTED_SHARE else "committed"
        self.transactions += 1
        asked = False
        try:
            self.producer.begin_transaction()
            self.note(begun=transaction)
            for _ in range(TRANSACTION_RECORDS):
                self.send(transaction)
                self.producer.poll(0)
            # Half of what is aborted is in the log by then, and half is on its way and given up.
            if wanted == "aborted" and self.chance.random() < 0.5:
                self.producer.flush(30)
            self.note(ending=transaction, **{"as": wanted})
            self.file.flush()
            if wanted == "aborted":
                self.retried(lambda: self.producer.abort_transaction(30))
            else:
                asked = True
                self.retried(lambda: self.producer.commit_transaction(30))
            self.note(ended=transaction, **{"as": wanted})
        except KafkaException as error:
            self.given_up(transaction, asked, error)
        self.pause()

    def given_up(self, transaction, asked, error):
        """A transaction that failed is aborted, if the client lets us. One whose commit was asked for may have any end, if it does not."""
        if error.args[0].txn_requires_abort():
            try:
                self.retried(lambda: self.producer.abort_transaction(30))
                self.note(ended=transaction, **{"as": "aborted"})
                return
            except KafkaException as worse:
                error = worse
        self.made_anew(error)
        self.note(ended=transaction, **{"as": "unknown" if asked else "aborted"})

    def run(self, seconds):
        work = self.transaction if "transactional.id" in self.settings else self.turn
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            work()
        self.producer.flush(FLUSH_S)
        self.file.close()


def main():
    bootstrap, topic, partitions, ledger, seconds, mode, seed = sys.argv[1:]
    Writer(bootstrap, topic, int(partitions), ledger, mode, int(seed)).run(float(seconds))


if __name__ == "__main__":
    main()
