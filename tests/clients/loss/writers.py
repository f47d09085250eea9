"""The writers of the loss test: three clients of different make, each with an idempotent and a transactional producer.

Each is a program of its own, called with

  BOOTSTRAP TOPIC PARTITIONS LEDGER SECONDS idempotent|transactional SEED

It sends to its topic for so many seconds, waits for what is on its way and ends. What it saw stands in LEDGER, as ledger.py says. A client
that can go on no more is made anew, and the ledger says so; nothing that a broker does ends a writer.
"""

import subprocess
import sys

import clients

HERE = clients.HERE / "loss"
MODES = ("idempotent", "transactional")
# What has to be had for them, through each one's own package manager.
PREPARED = (clients.Go("franz-go"), clients.Java("java", "LossWriter"))


class Writer:
    """One writer: a client in one of the modes, with a topic and a ledger named after it."""

    def __init__(self, client, mode, command, folder):
        self.name, self.mode, self.command = f"{client}-{mode}", mode, command
        self.topic, self.ledger = self.name, folder / f"{self.name}.jsonl"
        self.log, self.process = folder / f"{self.name}.log", None

    def start(self, bootstrap, partitions, seconds, seed):
        command = [*self.command, bootstrap, self.topic, partitions, self.ledger, seconds, self.mode, seed]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ended(self, seconds_max):
        """Waits for its end and returns what was wrong with it, or None."""
        try:
            status = self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return f"{self.name} did not end within {seconds_max:.0f} s; see {self.log}"
        return None if status == 0 else f"{self.name} ended with {status}; see {self.log}"

    def stop(self):
        """Ends it, whatever it does."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def writers(world, folder):
    """All of them, not started."""
    commands = {
        "confluent-kafka": [sys.executable, HERE / "confluent_writer.py"],
        "java": clients.java(world, f"{world.target}/java/classes:{world.target}/java/libs/*", "LossWriter"),
        "franz-go": [world.target / "go-clients", "loss"],
    }
    return [Writer(client, mode, command, folder) for client, command in commands.items() for mode in MODES]
