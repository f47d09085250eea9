"""librdkafka's own test suite: built from the sources that the rdkafka-sys crate brings, run test by test.

`librdkafka.txt` beside this file has every test of the suite: whether it runs, and if not, why not. The suite's `-Q` is never
given: it skips subtests and calls them passed.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from facts import Fact
from programs import ended_after, newest

HERE = pathlib.Path(__file__).resolve().parent
CLIENT = "librdkafka-suite"
# Longest time of one test, in seconds: 0113 is at its last subtests after 8 minutes. The suite has limits of its own, multiplied by 2 below.
TEST_S_MAX = 720
# Tests at once. Most of them wait for timers of theirs, so more than there are processors.
AT_ONCE = 5
CONF = """broker.address.family=v4
test.timeout.multiplier=2
test.topic.random=true
metadata.broker.list={bootstrap}
"""
STATE = re.compile(r"^\|\s*(\d{4}_\w+)\s*\|\s*(PASSED|FAILED|SKIPPED|RUNNING|DNS)\s*\|\s*[\d.]+s\s*\|\s*(.*)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m|\x1b\(B")
# What is changed in the suite before it is built: (file, old, new). It was written for three brokers with ACLs, and for Kafka before 4.
EDITS = (
    ("0103-transactions.c", ", 3, 5000);", ", 1, 5000);"),  # Replicas: there is one broker.
    ("0107-topic_recreate.c", ", 3, 5000);", ", 1, 5000);"),
    ("0111-delay_create_topics.cpp", "topic.c_str(), 1, 3);", "topic.c_str(), 1, 1);"),
    ("0129-fetch_aborted_msgs.c", '"20000"', '"1048576"'),  # Kafka 4 takes no smaller segment.bytes.
    *(("0081-admin.c", f"do_test_{verb}Acls(rk, mainq, {version});", "") for verb in ("Create", "Describe", "Delete") for version in (0, 1)),
)
RESULTS = {"PASSED": "passed", "FAILED": "failed", "RUNNING": "failed", "SKIPPED": "skipped"}


class Listed:
    """A line of librdkafka.txt: a test, when it runs (`ci`, `full`, `never`), on which brokers it fails, and why."""

    def __init__(self, line):
        name, self.when, expected, self.reason = (field.strip() for field in line.split("|"))
        self.name, _, mark = name.partition("+")
        self.without_auto_create = mark == "noauto"
        self.fails_on = expected.removesuffix(" fails") if expected.endswith(" fails") else None
        if self.when not in ("ci", "full", "never"):
            raise ValueError(f"librdkafka.txt: {name} runs {self.when!r}: there are ci, full and never")
        if not self.reason and (self.when == "never" or self.fails_on):
            raise ValueError(f"librdkafka.txt: {name} never runs or fails, and no reason is given")

    @property
    def number(self):
        return self.name[:4]

    def expected(self, label):
        """The result that this test is to have on the broker of that label."""
        return "failed" if self.fails_on == label else "passed"


def listed():
    """Every test of the suite, in its order."""
    lines = (HERE / "librdkafka.txt").read_text().splitlines()
    return [Listed(line) for line in lines if line.strip() and not line.startswith("#")]


def declared(sources):
    """The names of the tests that the suite declares."""
    return re.findall(r"^_TEST_DECL\((\w+)\);", (sources / "tests/test.c").read_text(), re.MULTILINE)


def build(target, say):
    """Builds the suite's runner once per version of the sources and returns its path and version."""
    cargo = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    sources = newest(cargo.glob("registry/src/*/rdkafka-sys-*/librdkafka"), "the sources of rdkafka-sys (run cargo fetch)")
    version = sources.parent.name.rpartition("+")[2]
    known, there = {test.name for test in listed()}, set(declared(sources))
    if known != there:
        raise ValueError(f"librdkafka.txt does not fit librdkafka {version}: not listed {sorted(there - known)}, gone {sorted(known - there)}")
    home = target / f"librdkafka-{version}"
    runner = home / "tests/test-runner"
    ready, built_from = home / "ready", repr(EDITS)
    if not ready.exists() or ready.read_text() != built_from:
        say(f"building librdkafka {version} and its tests in {home}")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(sources, home)
        for file, old, new in EDITS:
            edited = home / "tests" / file
            text = edited.read_text()
            if old not in text:
                raise ValueError(f"librdkafka.py edits {old!r} in {file}, where librdkafka {version} has no such words")
            edited.write_text(text.replace(old, new))
        log = target / "librdkafka-build.txt"
        # Not optimised: it is the broker's answers that are tested, and it is built in half the time.
        script = (
            "./configure --disable-ssl --disable-gssapi --disable-curl --disable-optimization"
            f" && make -j{os.cpu_count()} libs && make -j{os.cpu_count()} -C tests test-runner"
        )
        with log.open("w") as out:
            if subprocess.run(["bash", "-c", script], cwd=home, stdout=out, stderr=out, check=False).returncode:
                raise RuntimeError(f"librdkafka's tests cannot be built: see {log}")
        ready.write_text(built_from)
    return runner, version


class Suite:
    """The built suite. `tools` is a folder with Kafka's `bin/kafka-topics.sh`, `scratch` one for what the tests write."""

    def __init__(self, runner, version, tools, scratch):
        self.runner, self.version, self.tools, self.scratch = runner, version, tools, scratch

    def run(self, tests, bootstrap, without_auto_create):
        """Runs the tests, several at once, and yields a fact for each. Those that want a broker which makes no topics get the other one."""
        # Two tests can share a number, and the suite chooses by number and scenario.
        together = {}
        for test in tests:
            together.setdefault((test.number, test.without_auto_create), []).append(test.name)
        works = [
            (number, names, without_auto_create if apart else bootstrap, "noautocreate" if apart else "default")
            for (number, apart), names in together.items()
        ]
        failed = []
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            runs = {pool.submit(self._number, *work): work for work in works}
            for done in concurrent.futures.as_completed(runs):
                seen = done.result()
                if any(fact.result == "failed" for fact in seen):
                    failed.append(runs[done])
                else:
                    yield from seen
        # Some of them count in milliseconds, or on an order that a producer without idempotence keeps only where nothing is retried. What
        # fails among others is therefore tried once more, alone.
        for work in failed:
            yield from self._number(*work)

    def _number(self, number, names, bootstrap, scenario):
        """Runs the tests of one number and returns a fact for each that was asked for."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{number}-", dir=self.scratch))
        conf = folder / "test.conf"
        conf.write_text(CONF.format(bootstrap=bootstrap))
        home = self.runner.parent.parent
        environment = {
            **os.environ, "RDKAFKA_TEST_CONF": str(conf), "TEST_KAFKA_VERSION": "4.0.0", "TESTS": number, "BROKERS": bootstrap,
            "KAFKA_PATH": str(self.tools), "LD_LIBRARY_PATH": f"{home}/src:{home}/src-cpp",
        }
        environment.pop("CI", None)  # With it, the suite forgives what it should not.
        # -L leaves out what needs no broker, -E what breaks sockets from within.
        command = [str(self.runner), "-p1", "-E", "-L", "-s", scenario]
        status, output, seconds = ended_after(command, TEST_S_MAX, folder, environment)
        (folder / "output.txt").write_text(output)
        seen = {}
        for line in COLOUR.sub("", output).splitlines():
            if found := STATE.match(line):
                seen[found[1]] = (RESULTS.get(found[2], "skipped"), found[3].strip())
        if "failed at" in output:
            status += ": " + output[output.index("failed at") :].splitlines()[1][:200]
        missing = ("failed", f"{status}; see {folder}/output.txt")
        return [Fact(CLIENT, self.version, name, *seen.get(name, missing), seconds) for name in names]
