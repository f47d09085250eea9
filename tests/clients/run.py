#!/usr/bin/env python3
"""Runs the clients of other makers against a broker, and compares what each was seen to do with what is expected.

  run.py --bootstrap ADDRESS --label kafka|embedded --results FILE [--no-auto-create ADDRESS] [--only CLIENT[,CLIENT…]] [--full]

The broker is named by address alone, so any will do; it makes topics of four partitions when a producer asks (that is what librdkafka's
suite wants), and --no-auto-create is a second one that does not. The label chooses between the few expectations that differ. --full runs
all of librdkafka's suite that can run. What it gets stays in target/clients. scripts/clients.sh starts both brokers and runs this on each.

Every client has a program, or words in a file, of its own in the folders beside this one; each prints facts as lines of JSON:
{"client", "version", "fact", "result": "passed"|"refused"|"failed", "detail", "seconds"}. expectations.toml has every fact there is, and
librdkafka.txt every test of librdkafka's suite. The last line sums up; the status is 0 if everything was as expected.
"""

import argparse
import concurrent.futures
import json
import pathlib
import shutil
import sys
import tempfile
import time

import clients
import librdkafka
import wire
from facts import Expectations

# Clients at once, beside librdkafka's suite. Two processors are busy with that many.
AT_ONCE = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--no-auto-create")
    parser.add_argument("--label", required=True, choices=("kafka", "embedded"))
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--only", help="names of clients, separated by commas: " + ", ".join([*(c.name for c in clients.ALL), librdkafka.CLIENT]))
    parser.add_argument("--full", action="store_true")
    return parser.parse_args()


def say(words):
    print(f"clients: {words}", flush=True)


def run_client(client, world, bootstrap):
    """The facts of one client, and the requests that it sent."""
    with wire.Recorder(bootstrap) as recorder:
        seen = list(client.facts(world, recorder.bootstrap))
        return seen, {api: sorted(versions) for api, versions in sorted(recorder.used.items())}


def run_suite(world, given):
    """The facts of librdkafka's suite, which goes to the broker itself: it counts in milliseconds."""
    runner, version = librdkafka.build(world.target, say)
    tests = [test for test in librdkafka.listed() if test.when == "ci" or given.full and test.when == "full"]
    if not given.no_auto_create:
        tests = [test for test in tests if not test.without_auto_create]
    tools = world.target / "kafka-home"
    (tools / "bin").mkdir(parents=True, exist_ok=True)
    script = tools / "bin/kafka-topics.sh"
    script.write_text(f'#!/bin/sh\nexec {clients.TOP}/scripts/real-kafka.sh tool {world.jars} org.apache.kafka.tools.TopicCommand "$@"\n')
    script.chmod(0o755)
    suite = librdkafka.Suite(runner, version, tools, world.scratch)
    return list(suite.run(tests, given.bootstrap, given.no_auto_create))


def main():
    given = arguments()
    only = given.only.split(",") if given.only else None
    chosen = [client for client in clients.ALL if not only or client.name in only]
    with_suite = not only or librdkafka.CLIENT in only
    target = clients.TOP / "target/clients"
    target.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstitch-clients-"))
    served = wire.served(given.bootstrap)
    world = clients.World(target, scratch, given.label, served, say)
    expectations = Expectations.load()

    for client in chosen:
        client.prepare(world)
    if with_suite:
        librdkafka.build(target, say)

    began, facts, used = time.monotonic(), [], {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE + 1) as pool:
        suite = pool.submit(run_suite, world, given) if with_suite else None
        runs = {pool.submit(run_client, client, world, given.bootstrap): client for client in chosen}
        shown = {}
        for done in concurrent.futures.as_completed(runs):
            client = runs[done]
            shown[client], used[client.name] = done.result()
            say(f"{given.label}: {client.name}: {len(shown[client])} facts after {time.monotonic() - began:.0f} s")
        if suite:
            facts += suite.result()
    for client, seen in shown.items():
        otherwise = compare(seen, expectations.of([client.name], given.label))
        if otherwise and given.label == "kafka":
            # Kafka acknowledges a topic, a group or a transaction a moment before it is there for everyone, and not every client waits.
            # The embedded broker has no such moment, and gets no second try.
            say(f"kafka: {client.name} is tried once more, alone, after: {otherwise[0]}")
            seen, used[client.name] = run_client(client, world, given.bootstrap)
        facts += seen

    wanted = expectations.of([client.name for client in chosen], given.label)
    if with_suite:
        wanted |= {
            (librdkafka.CLIENT, test.name): test.expected(given.label) for test in librdkafka.listed()
            if (test.when == "ci" or given.full and test.when == "full") and (given.no_auto_create or not test.without_auto_create)
        }
    failures = compare(facts, wanted)
    given.results.write_text(json.dumps({
        "label": given.label, "full": given.full, "served": served, "used": used, "facts": [vars(fact) for fact in facts],
    }, indent=1))
    for failure in failures:
        say(f"{given.label}: {failure}")
    if failures:
        say(f"what they wrote is in {scratch}")
    else:
        shutil.rmtree(scratch)
    say(f"{given.label}: {len(wanted)} facts in {time.monotonic() - began:.0f} s")
    print(f"{len(wanted) - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


def compare(facts, wanted):
    """What is not as expected, in words: another result, a fact that nobody expects, one that never came."""
    failures, seen = [], set()
    for fact in facts:
        key = (fact.client, fact.fact)
        seen.add(key)
        if key not in wanted:
            failures.append(f"{fact.client}: {fact.fact} {fact.result}, and nothing is expected of it: {fact.detail}")
        elif fact.result != wanted[key]:
            failures.append(f"{fact.client}: {fact.fact} {fact.result}, where {wanted[key]} is expected: {fact.detail}")
    return failures + [f"{client}: {fact} was not shown" for client, fact in wanted if (client, fact) not in seen]


if __name__ == "__main__":
    main()
