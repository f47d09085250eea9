#!/usr/bin/env python3
"""Makes docs/kafka-clients.md from what run.py saw on a real Kafka and on the embedded broker.

  table.py KAFKA.json EMBEDDED.json [--check]

With --check it writes nothing: it says in what the committed page differs, and ends with 1 if it does. Only facts are compared. Which
requests a client sends can depend on time (a heartbeat falls due or not), so one that was sent before and not this time is no difference.
"""

import argparse
import difflib
import json
import pathlib
import re
import sys

import clients
import librdkafka
import wire
from facts import Expectations

PAGE = clients.TOP / "docs/kafka-clients.md"
MARKS = {"passed": "yes", "refused": "refused", "failed": "**no**"}
HEAD = """# Clients of Kafka, seen at work

<!-- Made by `scripts/clients.sh --write`; `scripts/test --only peers` compares. Change tests/clients instead. -->

The embedded broker is for any client of Kafka, in any language. Here is what that was seen to mean: the same programs, with the same
expectations, ran against Apache Kafka {kafka} and against the embedded broker. They are in [tests/clients](../tests/clients); `scripts/clients.sh`
runs them, and takes no word for anything: what a client wrote is read back, what it was refused has the error's name.
"""
ENDS = """
## Where it ends

One broker on one machine: no TLS, SASL, ACLs, quotas by user, delegation tokens, replicas, reassignments, share groups or transactions that
outgrow a disk. That is Kafka's job, and the same clients do it there. What is not served is not in the broker's answer to `ApiVersions`, so
clients know before they ask.
"""


class Seen:
    """What one run saw."""

    def __init__(self, path):
        read = json.loads(path.read_text())
        self.label, self.full = read["label"], read["full"]
        self.served = {int(api): tuple(versions) for api, versions in read["served"].items()}
        self.used = {client: {int(api): versions for api, versions in used.items()} for client, used in read["used"].items()}
        self.results = {(fact["client"], fact["fact"]): fact["result"] for fact in read["facts"]}
        self.versions = {fact["client"]: fact["version"] for fact in read["facts"] if fact["version"]}


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def header(*cells):
    return [row(*cells), row(*["---"] * len(cells))]


def clients_table(names, kafka, embedded):
    yield from header("client", "version", "on Kafka", "on the embedded broker")
    for name in names:
        yield row(name, kafka.versions[name], *(counted(seen, name) for seen in (kafka, embedded)))


def counted(seen, name):
    results = [result for (client, _), result in seen.results.items() if client == name]
    said = [f"{results.count('passed')} of {len(results)} pass"]
    return ", ".join(said + [f"{results.count(kind)} {word}" for kind, word in (("refused", "refused"), ("failed", "fail")) if kind in results])


def facts_table(names, kafka, embedded):
    """Facts by client. One word where both brokers do the same; Kafka's first where they do not."""
    order = []
    for client, fact in kafka.results:
        if client in names and fact not in order:
            order.append(fact)
    shared = [fact for fact in order if sum((name, fact) in kafka.results for name in names) > 1]
    columns = [name for name in names if any((name, fact) in kafka.results for fact in shared)]
    yield from header("", *columns)
    for fact in sorted(shared, key=order_of):
        yield row(fact.replace("-", " "), *(cell(kafka, embedded, (name, fact)) for name in columns))
    yield ""
    yield "By themselves:"
    yield ""
    for name in names:
        for fact in order:
            if fact not in shared and (name, fact) in kafka.results:
                yield f"- {name}: {fact.replace('-', ' ')}: {cell(kafka, embedded, (name, fact))}"


def order_of(fact):
    common = list(Expectations.load().common)
    return (common.index(fact) if fact in common else len(common), fact)


def cell(kafka, embedded, key):
    if key not in kafka.results:
        return ""
    one, other = MARKS[kafka.results[key]], MARKS[embedded.results[key]]
    return one if one == other else f"Kafka {one}, embedded {other}"


def differences(names, kafka, embedded):
    """What is otherwise than on Kafka by its reason, and then what clients refuse by themselves."""
    apart, alike = {}, {}
    for name, facts in Expectations.load().clients.items():
        for fact, otherwise in facts.items():
            key = (name, fact)
            if otherwise and name in names:
                kinds = alike if kafka.results[key] == embedded.results[key] else apart
                kinds.setdefault(otherwise["because"], []).append(f"{name} ({fact.replace('-', ' ')})")
    for test in librdkafka.listed():
        if test.fails_on:
            apart.setdefault(test.reason, []).append(f"librdkafka's {test.name}" + (", on Kafka" if test.fails_on == "kafka" else ""))
    yield from (f"- {because}: {', '.join(facts)}" for because, facts in apart.items())
    yield from ["", "By limits of the client, on both:", ""]
    yield from (f"- {because}: {', '.join(facts)}" for because, facts in alike.items())


def suite_lines():
    tests = librdkafka.listed()
    needing_none = [test for test in tests if test.when == "never" and test.reason == "needs no broker"]
    reasons = {}
    for test in tests:
        if test.when == "never" and test.reason != "needs no broker":
            reasons.setdefault(test.reason, []).append(test.name)
    yield f"Of the {len(tests)} tests of librdkafka's own suite, {len(needing_none)} need no broker. Of the others,"
    yield f"{sum(test.when == 'ci' for test in tests)} run in every run and {sum(test.when == 'full' for test in tests)} more with `scripts/clients.sh --full`;"
    yield f"{sum(bool(test.fails_on) for test in tests)} of these fail on one of the brokers, as said above, and all others pass on both. These do not run:"
    yield ""
    yield from header("why", "tests")
    for reason, names in sorted(reasons.items()):
        yield row(reason, ", ".join(name[:4] if len(names) > 2 else name for name in names))


def api_table(names, kafka, embedded):
    """Requests by client: the versions that it was seen to use on the embedded broker, and on Kafka where they are others."""
    asking = [name for name in names if name in kafka.used]
    yield from header("request", "Kafka serves", "embedded serves", *asking)
    for api in sorted(set(kafka.served) | set(embedded.served)):
        users = [used_cell(kafka, embedded, name, api) for name in asking]
        if api in embedded.served or any(users):
            yield row(wire.name_of(api), span(kafka, api), span(embedded, api), *users)


def span(seen, api):
    if api not in seen.served:
        return "no"
    first, last = seen.served[api]
    return str(first) if first == last else f"{first}–{last}"


def used_cell(kafka, embedded, name, api):
    ours, theirs = (",".join(map(str, seen.used[name].get(api, []))) for seen in (embedded, kafka))
    if ours == theirs:
        return ours
    return f"{ours or '–'} ({theirs or '–'})"


def page(kafka, embedded):
    names = [client.name for client in sorted(clients.ALL, key=lambda client: client.name)]
    lines = [HEAD.format(kafka=clients.kafka_version()), *clients_table(names, kafka, embedded)]
    lines += ["", "## What they do", "", "*yes*: seen on both brokers. *refused*: a plain error said that it is not to be had.", ""]
    lines += facts_table(names, kafka, embedded)
    lines += ["", "## Where the embedded broker differs from Kafka", "", *differences(names, kafka, embedded)]
    lines += ["", "## librdkafka's own suite", "", *suite_lines()]
    lines += ["", "## Requests and versions", "", "What each broker serves, and the versions in which each client was seen to ask; in brackets those on Kafka, where",
              "they are others.", "", *api_table(names, kafka, embedded)]
    return "\n".join(lines) + "\n" + ENDS


def merge_used(committed, made):
    """The made page, with cells of requests taken from the committed one where it has all that the made one has and more."""
    before = {cells[0]: cells for cells in map(cells_of, committed.splitlines()) if cells and cells[0] in wire.APIS.values()}
    merged = []
    for line in made.splitlines():
        cells = cells_of(line)
        old = before.get(cells[0]) if cells else None
        if old and len(old) == len(cells) and old[:3] == cells[:3]:
            line = row(*cells[:3], *(was if numbers(now) <= numbers(was) else now for was, now in zip(old[3:], cells[3:])))
        merged.append(line)
    return "\n".join(merged) + "\n"


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def numbers(cell):
    return set(re.findall(r"\d+", cell))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kafka", type=pathlib.Path)
    parser.add_argument("embedded", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    made = page(Seen(given.kafka), Seen(given.embedded))
    if not given.check:
        PAGE.write_text(made)
        return
    committed = PAGE.read_text() if PAGE.exists() else ""
    changes = list(difflib.unified_diff(committed.splitlines(), merge_used(committed, made).splitlines(), str(PAGE.name), "this run", lineterm="", n=0))
    if changes:
        print("\n".join(changes))
        sys.exit(f"{PAGE} does not say what was seen; scripts/clients.sh --write makes it anew")


if __name__ == "__main__":
    main()
