"""The clients: how each is had through its own package manager, and how its program is run."""

import os
import pathlib
import shutil
import subprocess
import sys

import kafka_tools
import kcat
from facts import Fact
from programs import ended_after

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
# Longest run of one client's program, in seconds.
CLIENT_S_MAX = 240


def changed(ready, *files):
    """Whether what was prepared from these files is out of date; `remember` says that it no longer is."""
    return not ready.exists() or ready.read_bytes() != b"".join(file.read_bytes() for file in files)


def remember(ready, *files):
    ready.write_bytes(b"".join(file.read_bytes() for file in files))


class World:
    """Where things are: the folder of what is had (`target`), one for this run (`scratch`), and the broker by label and address."""

    def __init__(self, target, scratch, label, served, say):
        self.target, self.scratch, self.label, self.served, self.say = target, scratch, label, served, say
        self.prepared = set()
        self.jars = pathlib.Path(os.environ.get("KAFKA_JARS", TOP / "target/kafka")).resolve()

    def prepare(self, command, folder, **environment):
        """Runs a step of a preparation, whose output is kept for the case that it fails."""
        log = self.target / "prepare.txt"
        with log.open("a") as out:
            done = subprocess.run(command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **environment}, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} failed: see {log}")

    def program(self, client, command, bootstrap, **environment):
        """Runs a program and yields the facts that it prints. What does not come to its end says so in a fact of its own."""
        out = self.scratch / f"{client}.txt"
        status, output, _ = ended_after([*map(str, command), bootstrap], CLIENT_S_MAX, self.scratch, {**os.environ, **environment})
        out.write_text(output)
        yield from (Fact.read(line) for line in output.splitlines() if line.startswith('{"client"'))
        if status != "it ended":
            yield Fact(client, "", "comes-to-its-end", "failed", f"{status}; see {out}")


class Python:
    """A program in tests/clients/python, on the packages of scripts/requirements.txt."""

    def __init__(self, name, file):
        self.name, self.file = name, file

    def prepare(self, world):
        """Nothing: scripts/test makes the virtual environment, and run.py runs in it."""

    def facts(self, world, bootstrap):
        return world.program(self.name, [sys.executable, HERE / "python" / self.file], bootstrap)


class Node:
    """The program in tests/clients/node, on what its package-lock.json names."""

    name = "kafkajs"

    def prepare(self, world):
        files = [HERE / "node/package.json", HERE / "node/package-lock.json"]
        home, ready = world.target / "node", world.target / "node/ready"
        if changed(ready, *files):
            world.say("getting kafkajs by npm")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            for file in files:
                shutil.copy(file, home)
            world.prepare(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], home)
            remember(ready, *files)

    def facts(self, world, bootstrap):
        return world.program(self.name, ["node", HERE / "node/kafkajs.js"], bootstrap, NODE_PATH=str(world.target / "node/node_modules"))


class Go:
    """The program in tests/clients/go, which has two clients in it."""

    def __init__(self, name):
        self.name = name

    def prepare(self, world):
        # Its modules are go.sum's, and Go itself knows whether anything has changed. One program has both clients.
        if "go" in world.prepared:
            return
        world.prepared.add("go")
        world.say("building the clients in Go")
        world.prepare(["go", "build", "-trimpath", "-o", world.target / "go-clients", "."], HERE / "go")

    def facts(self, world, bootstrap):
        return world.program(self.name, [world.target / "go-clients", self.name], bootstrap)


class Java:
    """A program in tests/clients/java, on the jars of a real Kafka and of Kafka Streams."""

    def __init__(self, name, main):
        self.name, self.main = name, main

    def prepare(self, world):
        home, ready, pom = world.target / "java", world.target / "java/ready", HERE / "java/pom.xml"
        sources = sorted((HERE / "java").glob("*.java"))
        kafka_pom = TOP / "scripts/real-kafka.pom.xml"
        if not changed(ready, pom, kafka_pom, *sources):
            return
        world.say("getting Kafka Streams by Maven and compiling the clients in Java")
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        world.prepare(["mvn", "-B", "-q", "-ntp", f"-Dkafka.version={kafka_version()}", "-f", pom, "dependency:copy-dependencies",
                       "-DincludeScope=runtime", f"-DoutputDirectory={home}/libs"], home)
        world.prepare(["javac", "-d", home / "classes", "-cp", f"{world.jars}/libs/*:{home}/libs/*", *sources], home)
        remember(ready, pom, kafka_pom, *sources)

    def facts(self, world, bootstrap):
        return world.program(self.name, java(world, f"{world.target}/java/classes:{world.target}/java/libs/*", self.main), bootstrap)


class KafkaTools:
    """Kafka's own tools, which run from the jars of a real Kafka."""

    name = kafka_tools.CLIENT

    def prepare(self, world):
        """Nothing: scripts/real-kafka.sh has fetched the jars."""

    def facts(self, world, bootstrap):
        def tool(name, arguments, seconds_max):
            status, output, _ = ended_after([*java(world, "", name), *arguments], seconds_max, world.scratch, os.environ)
            if status != "it ended":
                raise kafka_tools.Failed(f"{name.rpartition('.')[2]}: {status}: {output[-2000:]}")
            return output

        return kafka_tools.run(bootstrap, kafka_version(), world.served, tool)


class Kcat:
    """kcat of the distribution."""

    name = kcat.CLIENT

    def prepare(self, world):
        """Nothing: scripts/test installs it."""

    def facts(self, world, bootstrap):
        return kcat.run(bootstrap)


def java(world, path, main):
    """The command that runs a class, with the jars of a real Kafka behind the given class path."""
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", f"-Djava.io.tmpdir={world.scratch}",
            f"-Dlog4j2.configurationFile=file:{world.jars}/log4j2.properties", "-cp", f"{path}:{world.jars}/libs/*", main]


def kafka_version():
    """The version of the real Kafka, as its pom has it."""
    return (TOP / "scripts/real-kafka.pom.xml").read_text().partition("<kafka.version>")[2].partition("<")[0]


# The slowest first, so that none is left alone at the end.
ALL = (
    KafkaTools(),
    Java("kafka-streams", "WordCount"),
    Java("java-transactional-loop", "TransactionalLoop"),
    Java("java", "Plain"),
    Python("confluent-kafka", "confluent.py"),
    Python("kafka-python", "kafka_python.py"),
    Python("aiokafka", "aio.py"),
    Node(),
    Go("franz-go"),
    Go("sarama"),
    Kcat(),
)
