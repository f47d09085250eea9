"""The broker of the loss test: `backstitch broker` as anyone starts it, and its violent ends."""

import json
import subprocess
import time


class Trouble(Exception):
    """The test could not be carried through; it says nothing of records."""


class Victim:
    """One data folder and one port, served by one process after the other."""

    def __init__(self, program, folder):
        self.program, self.folder, self.port, self.process = program, folder, 0, None
        self.log = folder / "broker.log"
        self.restarts_ms = []

    def start(self):
        """Starts it and returns its bootstrap servers as soon as it serves."""
        command = [self.program, "broker", "--json", "--listen", str(self.port), "--data-dir", str(self.folder / "data")]
        # Every other one puts all records into files beside SQLite's, and begins new ones often.
        if len(self.restarts_ms) % 2 == 1:
            command += ["--set", "embedded.inline_bytes=0", "--set", "embedded.segment_bytes=256KiB"]
        began = time.monotonic()
        with self.log.open("a") as log:
            # pylint: disable-next=consider-using-with  # It is ended by `kill`.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise Trouble(f"the broker did not start again: status {self.process.wait()}; see {self.log}")
        self.restarts_ms.append(round((time.monotonic() - began) * 1000))
        said = json.loads(line)
        self.port = said["port"]
        return said["bootstrap_servers"]

    def kill(self):
        """kill -9, and the moment of it in milliseconds of the wall clock."""
        if (status := self.process.poll()) is not None:
            raise Trouble(f"the broker ended by itself with {status}; see {self.log}")
        at_ms = time.time_ns() // 1_000_000
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        return at_ms

    def stop(self):
        """Ends it, if it is there."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
