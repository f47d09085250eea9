"""Kafka's own system-test tools, from Apache's jars: what each prints is read and judged here."""

import json
import re
import uuid

from facts import Fact

CLIENT = "kafka-tools"
TOOL_S_MAX = 90
DESCRIBE_ACLS = 29
REFUSAL = re.compile(r"UnsupportedVersionException: [^\n]*")


class Failed(Exception):
    """What a tool was seen to do is not what it should."""


def unique(name):
    return f"tools-{name}-{uuid.uuid4().hex[:12]}"


class Tools:
    """Runs the tools against one broker. `java` runs a class with arguments and returns what it printed, or raises."""

    def __init__(self, bootstrap, served, java):
        self.bootstrap, self.served, self.java = bootstrap, served, java

    def run(self, tool, *arguments):
        return self.java(f"org.apache.kafka.tools.{tool}", arguments, TOOL_S_MAX)

    def events(self, tool, *arguments):
        """The lines of JSON that a tool prints."""
        out = self.run(tool, *arguments)
        # A consumer that the broker refuses says so on its way out, and ends as if all were well.
        if refusal := REFUSAL.search(out):
            raise Failed(refusal[0])
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def topic(self, name, partitions=1):
        made = unique(name)
        self.run("TopicCommand", "--bootstrap-server", self.bootstrap, "--create", "--topic", made, "--partitions", str(partitions))
        return made

    def filled(self, name, count, partitions=1):
        topic = self.topic(name, partitions)
        sent = self.events("VerifiableProducer", "--bootstrap-server", self.bootstrap, "--topic", topic, "--max-messages", str(count),
                           "--acks", "-1", "--repeating-keys", "10")
        acknowledged = [event for event in sent if event["name"] == "producer_send_success"]
        expect(len(acknowledged), count, "records acknowledged")
        return topic

    def consumed(self, topic, count, *more):
        """Reads so many records with VerifiableConsumer and returns its events."""
        events = self.events("VerifiableConsumer", "--bootstrap-server", self.bootstrap, "--topic", topic, "--max-messages", str(count),
                             "--reset-policy", "earliest", "--group-id", unique("group"), *more)
        expect(sum(event["count"] for event in events if event["name"] == "records_consumed"), count, "records consumed")
        commits = [event for event in events if event["name"] == "offsets_committed"]
        expect(bool(commits) and all(event["success"] for event in commits), True, "every commit succeeded")
        committed = {(place["topic"], place["partition"]): place["offset"] for event in commits for place in event["offsets"]}
        expect(sum(committed.values()), count, "committed offsets together")

    def produces(self):
        self.filled("producer", 1000, 3)

    def consumes(self):
        self.consumed(self.filled("consumer", 1000, 3), 1000)

    def consumes_next_generation(self):
        self.consumed(self.filled("next-generation", 300, 3), 300, "--group-protocol", "consumer")

    def copies(self):
        """Copies 1,000 records in transactions of 50, some of which the tool gives up at random, and reads what was committed."""
        source, sink = self.filled("source", 1000), self.topic("sink")
        out = self.run("TransactionalMessageCopier", "--broker-list", self.bootstrap, "--input-topic", source, "--input-partition", "0",
                       "--output-topic", sink, "--max-messages", "1000", "--consumer-group", unique("group"), "--transaction-size", "50",
                       "--transactional-id", sink, "--enable-random-aborts", "--group-mode", "--use-group-metadata")
        last = [json.loads(line) for line in out.splitlines() if line.startswith("{")][-1]
        expect((last["consumed"], last["remaining"]), (1000, 0), "consumed and remaining")
        read = self.run("consumer.ConsoleConsumer", "--bootstrap-server", self.bootstrap, "--topic", sink, "--from-beginning",
                        "--isolation-level", "read_committed", "--timeout-ms", "3000")
        values = sorted(int(line) for line in read.splitlines() if line.isdigit())
        expect(values == list(range(1000)), True, "each of 1,000 committed records once")

    def compatible(self):
        """ClientCompatibilityTest is told what the broker serves, and fails where the client finds it otherwise."""
        acls = str(DESCRIBE_ACLS in self.served)
        out = self.run("ClientCompatibilityTest", "--bootstrap-server", self.bootstrap, "--topic", self.topic("compatible"),
                       "--offsets-for-times-supported", "True", "--cluster-id-supported", "True",
                       "--expect-record-too-large-exception", "False", "--num-cluster-nodes", "1", "--create-topics-supported", "True",
                       "--describe-acls-supported", acls, "--describe-configs-supported", "True", "--idempotent-producer-supported", "True")
        expect("SUCCESS" in out, True, "SUCCESS")

    def compacts(self):
        """LogCompactionTester calls itself content where nothing was compacted, so its reduction is asserted."""
        out = self.run("LogCompactionTester", "--bootstrap-server", self.bootstrap, "--messages", "300000", "--duplicates", "100",
                       "--percent-deletes", "10", "--sleep", "10")
        reduction = float(re.search(r"\(([\d.-]+)% reduction\)", out)[1])
        expect(", 0 mismatches" in out, True, "0 mismatches")
        if reduction < 10:
            raise Failed(f"{reduction} % reduction: nothing was compacted")


def expect(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: got {got}, wanted {wanted}")


def run(bootstrap, version, served, java):
    """Yields a fact for each tool."""
    tools = Tools(bootstrap, served, java)
    for fact, work in (
        ("verifiable-producer", tools.produces),
        ("verifiable-consumer", tools.consumes),
        ("verifiable-consumer-next-generation", tools.consumes_next_generation),
        ("transactional-message-copier", tools.copies),
        ("client-compatibility", tools.compatible),
        ("log-compaction", tools.compacts),
    ):
        try:
            work()
            yield Fact(CLIENT, version, fact, "passed")
        except Exception as error:  # pylint: disable=broad-except  # Whatever it is, it is what the fact says.
            text = f"{type(error).__name__}: {error}"
            refusal = REFUSAL.search(text)
            yield Fact(CLIENT, version, fact, "refused" if refusal else "failed", refusal[0] if refusal else text[-500:])
