#!/usr/bin/env python3
"""Kills `backstitch broker` with -9 again and again while clients write, then compares what they were told with what is there.

  loss.py [--seconds N] [--kill-every S] [--seed N] [--plain] [--json FILE] [--keep FOLDER]

Three clients of different make write for N seconds (60; the whole test is 600), each with an idempotent producer and with a transactional
one that aborts a quarter of its transactions. Every S seconds (3, a third more or less) the broker is killed and started again on the same
port and file, just after one of the clients has sent a record or asked for the end of a transaction. Each writer keeps a ledger; at the end a
fourth client, kafka-python, reads the topics back, read_uncommitted and read_committed, and judge.py compares. The status is 0 if nothing was
lost, doubled, out of order, at another offset than was said, torn or visible though aborted; 1 if anything was; 2 if the test itself came to
nothing, also where no kill met records on their way. Of a failure, ledgers and the broker's file stay in the folder that it names.

scripts/loss.sh gets what it needs and runs it.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
# pylint: disable=wrong-import-position
import clients
from judge import KINDS, Place, judge
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from ledger import Ledger
from victim import Trouble, Victim
from writers import PREPARED, writers

# Of each writer's topic.
PARTITIONS = 3
# Longest waits in seconds: for the writers' first records, for their end after the time is up, for a record while reading back (a
# transaction that was left open hides what follows for 30 s), and for a request to aim at.
START_S_MAX, END_S_MAX, READ_S_MAX, AIM_S_MAX = 60, 180, 60, 1.0
# Longest time between what is aimed at and the kill: requests leave 2 ms after their record, and an answer takes about as long.
DELAY_S_MAX = 0.004
# Findings of a kind that are printed; the JSON has all.
SHOWN = 5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kill-every", type=float, default=3.0, metavar="S")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--plain", action="store_true", help="without the transactional producers: every commit of records is nothing but appends")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="work in this folder, and leave it")
    return parser.parse_args()


def say(words):
    print(f"loss: {words}", flush=True)


def until(condition, what, seconds_max):
    end = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"no {what} within {seconds_max} s")
        time.sleep(0.01)


def aim(writer, chance):
    """Returns a moment after the writer's ledger says that a transaction is to end or a record is sent, or when it says no such thing."""
    asked = '"ending"' if writer.mode == "transactional" else '"sent"'
    with writer.ledger.open(encoding="utf-8") as file:
        file.seek(0, os.SEEK_END)
        end = time.monotonic() + AIM_S_MAX
        while asked not in file.read() and time.monotonic() < end:
            time.sleep(0.0002)
    time.sleep(chance.uniform(0, DELAY_S_MAX))


def kill_again_and_again(victim, all_of_them, given, chance):
    """Kills until the time is up, and returns the moments."""
    kills, end = [], time.monotonic() + given.seconds
    while True:
        wait = given.kill_every * chance.uniform(2 / 3, 4 / 3)
        if time.monotonic() + wait > end:
            return kills
        time.sleep(wait)
        aim(chance.choice(all_of_them), chance)
        kills.append(victim.kill())
        victim.start()
        if len(kills) % 20 == 0:
            say(f"{len(kills)} kills")


def read(bootstrap, topic, isolation):
    """Every record of a topic that this isolation level shows, by partition and offset."""
    reader = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False,
                           isolation_level=isolation, max_poll_records=5000)
    # Of both levels, to where the log ends: what an open transaction hides is waited for.
    ender = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_uncommitted")
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    ends = ender.end_offsets(places)
    ender.close()
    reader.assign(places)
    reader.seek_to_beginning()
    seen, last = [], time.monotonic()
    before = None
    while any(reader.position(place) < end for place, end in ends.items()):
        for records in reader.poll(500).values():
            seen += [Place(record.partition, record.offset, (record.value or b"").decode(errors="replace")) for record in records]
        positions = [reader.position(place) for place in places]
        if positions != before:
            before, last = positions, time.monotonic()
        elif time.monotonic() - last > READ_S_MAX:
            raise Trouble(f"{isolation} stands still in {topic} at {positions}, and the log ends at {list(ends.values())}")
    reader.close()
    return seen


def carry_through(given, folder, chance):
    """Everything but the report: the verdicts, and what the kills met."""
    world = clients.World(clients.TOP / "target/clients", folder, "embedded", {}, say)
    world.target.mkdir(parents=True, exist_ok=True)
    for client in PREPARED:
        client.prepare(world)
    victim = Victim(os.environ.get("BACKSTITCH_BIN", str(clients.TOP / "target/debug/backstitch")), folder)
    all_of_them = [writer for writer in writers(world, folder) if not given.plain or writer.mode == "idempotent"]
    try:
        bootstrap = victim.start()
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(writer.topic, PARTITIONS, 1) for writer in all_of_them])
        admin.close()
        for writer in all_of_them:
            writer.start(bootstrap, PARTITIONS, given.seconds, chance.randrange(1 << 31))
        until(lambda: all(writer.ledger.exists() and writer.ledger.stat().st_size for writer in all_of_them), "record of every writer", START_S_MAX)
        kills = kill_again_and_again(victim, all_of_them, given, chance)
        end = time.monotonic() + END_S_MAX
        if wrong := list(filter(None, [writer.ended(max(1.0, end - time.monotonic())) for writer in all_of_them])):
            raise Trouble("; ".join(wrong))
        say(f"{len(kills)} kills; reading back")
        verdicts, in_flight, amid_ending = [], [0] * len(kills), [0] * len(kills)
        for writer in all_of_them:
            ledger = Ledger.read(writer.ledger)
            verdicts.append(judge(ledger, read(bootstrap, writer.topic, "read_uncommitted"), read(bootstrap, writer.topic, "read_committed")))
            in_flight = list(map(sum, zip(in_flight, ledger.in_flight(kills))))
            amid_ending = list(map(sum, zip(amid_ending, ledger.amid_ending(kills))))
    finally:
        for writer in all_of_them:
            writer.stop()
        victim.stop()
    if kills and not any(in_flight):
        raise Trouble("no kill met a record on its way, so nothing was shown")
    if not given.plain and not any(verdict.figures["in the log"] > verdict.figures["visible"] for verdict in verdicts):
        raise Trouble("no record of an aborted transaction is in the log, so nothing was shown of them")
    met = {
        "kills": len(kills),
        "amid records on their way": sum(map(bool, in_flight)),
        "records on their way, median": sorted(in_flight)[len(kills) // 2] if kills else 0,
        "amid an asked commit or abort": sum(map(bool, amid_ending)),
        "restart, slowest, ms": max(victim.restarts_ms),
    }
    return verdicts, met


def report(verdicts, met, given, seed):
    """Prints what was seen, writes the JSON, and returns whether it is clean."""
    columns = list(verdicts[0].figures)
    say(", ".join(f"{what}: {figure}" for what, figure in met.items()))
    for verdict in verdicts:
        say(f"{verdict.writer}: " + ", ".join(f"{verdict.figures[name]} {name}" for name in columns))
    failed = 0
    for kind, meaning in KINDS.items():
        found = [words for verdict in verdicts for words in verdict.findings[kind]]
        failed += bool(found)
        say(f"{len(found)} {kind} ({meaning})")
        for words in found[:SHOWN]:
            say(f"  {words}")
    if given.json:
        given.json.write_text(json.dumps({
            "seed": seed, "seconds": given.seconds, "kill_every_s": given.kill_every, "kills": met,
            "findings": {kind: sum(len(verdict.findings[kind]) for verdict in verdicts) for kind in KINDS},
            "writers": [vars(verdict) for verdict in verdicts],
        }, indent=1))
    print(f"{len(KINDS) - failed} passed, {failed} failed", flush=True)
    return failed == 0


def main():
    given = arguments()
    seed = given.seed if given.seed is not None else random.randrange(1 << 31)
    say(f"{given.seconds} s, a kill every {given.kill_every:g} s, --seed {seed} (the same waits and aims, not the same timing)")
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    folder = given.keep or pathlib.Path(tempfile.mkdtemp(prefix="backstitch-loss-"))
    try:
        is_clean = report(*carry_through(given, folder.resolve(), random.Random(seed)), given, seed)
    except Trouble as trouble:
        say(f"the test itself came to nothing: {trouble}")
        sys.exit(2)
    if not is_clean:
        say(f"ledgers and the broker's file are in {folder}")
        sys.exit(1)
    if not given.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
