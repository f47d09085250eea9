"""kcat: librdkafka of a distribution, at the command line."""

import json
import re
import subprocess
import uuid

from facts import Fact

CLIENT = "kcat"
KCAT_S_MAX = 60


def version():
    said = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    return re.search(r"Version ([\d.]+)", said)[1]


class Kcat:
    """Runs kcat against one broker. Topics are made by the first record, as the broker's defaults are."""

    def __init__(self, bootstrap):
        self.base = ["kcat", "-b", bootstrap, "-X", "broker.address.family=v4", "-X", "topic.metadata.refresh.fast.interval.ms=100"]

    def run(self, *arguments, say=""):
        done = subprocess.run([*self.base, *arguments], input=say, capture_output=True, text=True, timeout=KCAT_S_MAX, check=False)
        if done.returncode:
            raise AssertionError(f"kcat {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-300:]}")
        return done.stdout

    def produce(self, *arguments, say):
        topic = f"kcat-{uuid.uuid4().hex[:12]}"
        self.run("-P", "-t", topic, "-p", "0", *arguments, say=say)
        return topic

    def read(self, topic, *arguments):
        return self.run("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", *arguments)

    def lists(self):
        topic = self.produce(say="v\n")
        listed = json.loads(self.run("-L", "-J", "-t", topic))
        same([found["topic"] for found in listed["topics"]], [topic])
        same(len(listed["brokers"]), 1)

    def keys_and_headers(self):
        topic = self.produce("-K", ":", "-H", "origin=kcat", "-H", "origin=again", say="key:value\n")
        same(self.read(topic, "-f", "%k|%s|%h\n"), "key|value|origin=kcat,origin=again\n")

    def compresses(self, codec):
        words = "".join(f"value {n}\n" for n in range(200))
        same(self.read(self.produce("-z", codec, say=words)), words)

    def resumes(self):
        topic, group = self.produce(say="a\nb\nc\n"), f"kcat-{uuid.uuid4().hex[:12]}"
        same(self.run("-G", group, "-X", "auto.offset.reset=earliest", "-c", "2", "-q", topic), "a\nb\n")
        same(self.run("-G", group, "-X", "auto.offset.reset=earliest", "-c", "1", "-q", topic), "c\n")

    def idempotent(self):
        same(self.read(self.produce("-X", "enable.idempotence=true", say="a\nb\n")), "a\nb\n")

    def transactional(self):
        topic = self.produce(say="before\n")
        self.run("-P", "-t", topic, "-p", "0", "-X", f"transactional.id={topic}", say="a\nb\n")
        same(self.read(topic, "-X", "isolation.level=read_committed"), "before\na\nb\n")

    def by_time(self):
        topic = self.produce(say="a\nb\n")
        same(self.run("-Q", "-t", f"{topic}:0:1000").split(), [topic, "[0]", "offset", "0"])


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def run(bootstrap):
    """Yields a fact for each use."""
    kcat, at = Kcat(bootstrap), version()
    works = [("lists-topics", kcat.lists), ("keys-and-headers", kcat.keys_and_headers)]
    works += [(f"compresses-{codec}", lambda codec=codec: kcat.compresses(codec)) for codec in ("gzip", "snappy", "lz4", "zstd")]
    works += [("resumes-where-it-committed", kcat.resumes), ("produces-idempotently", kcat.idempotent), ("commits", kcat.transactional),
              ("offsets-by-time", kcat.by_time)]
    for fact, work in works:
        try:
            work()
            yield Fact(CLIENT, at, fact, "passed")
        except Exception as error:  # pylint: disable=broad-except  # Whatever it is, it is what the fact says.
            yield Fact(CLIENT, at, fact, "failed", f"{type(error).__name__}: {error}"[:500])
