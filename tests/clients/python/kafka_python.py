"""kafka-python: a client in Python alone."""

import threading
import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

from telling import PATIENCE_S, Teller, bootstrap, same, unique, until

SERVERS = bootstrap()
ADMIN = KafkaAdminClient(bootstrap_servers=SERVERS)
COMPRESSIONS = ("gzip", "snappy", "lz4", "zstd")


def topic(name, partitions=1, configs=None):
    name = unique(f"kafka-python-{name}")
    ADMIN.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}}, wait_for_metadata=True)
    return name


def producer(**settings):
    return KafkaProducer(bootstrap_servers=SERVERS, **{"acks": "all", "delivery_timeout_ms": 20000, "request_timeout_ms": 10000, **settings})


def consumer(*topics, group=None, **settings):
    return KafkaConsumer(
        *topics, bootstrap_servers=SERVERS, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **settings
    )


def send(to, name, values):
    for sent in [to.send(name, value, partition=0) for value in values]:
        sent.get(PATIENCE_S)


def words(count, word="v"):
    return [b"%s%d" % (word.encode(), n) for n in range(count)]


def next_records(reader, count_max=500):
    """What one poll brings, in order, or None."""
    return [record for records in reader.poll(500, count_max).values() for record in records] or None


def read(name, count, **settings):
    """The first records of partition 0, read without a group."""
    reader = consumer(**settings)
    reader.assign([TopicPartition(name, 0)])
    got = []

    def more():
        got.extend(next_records(reader) or [])
        return len(got) >= count

    until(more, f"{count} records of {name}")
    reader.close()
    return got


def keys_and_headers():
    name, headers = topic("headers"), [("origin", b"python"), ("origin", b"again")]
    made = producer()
    made.send(name, b"bytes", key=b"\xff\x00", headers=headers, partition=0).get(PATIENCE_S)
    made.send(name, None, key=b"k", partition=0).get(PATIENCE_S)
    made.close()
    same([(r.key, r.value, list(r.headers)) for r in read(name, 2)], [(b"\xff\x00", b"bytes", headers), (b"k", None, [])])


def compresses(codec):
    name = topic(codec)
    made = producer(compression_type=codec, linger_ms=50)
    send(made, name, words(100))
    made.close()
    same([r.value for r in read(name, 100)], words(100))


def resumes():
    name, group = topic("resumes"), unique("kafka-python-group")
    made = producer()
    send(made, name, words(10))
    made.close()
    first = consumer(name, group=group)
    last = until(lambda: next_records(first, 4), "record")[-1]
    first.commit({TopicPartition(name, 0): OffsetAndMetadata(4, "", -1)})
    same(last.offset < 4, True)
    first.close()
    second = consumer(name, group=group)
    same(until(lambda: next_records(second, 1), "record")[0].offset, 4)
    same(second.committed(TopicPartition(name, 0)), 4)
    second.close()


def member(name, group, leave, seen):
    """One member in a thread of its own: two that take turns in one thread rejoin each time a poll ends within a round."""
    reader = consumer(name, group=group)
    while not leave.is_set():
        reader.poll(500)
        seen[leave] = len(reader.assignment())
    reader.close()


def shares():
    name, group, seen = topic("shares", 4), unique("kafka-python-group"), {}
    leaves = [threading.Event(), threading.Event()]
    threads = [threading.Thread(target=member, args=(name, group, leave, seen), daemon=True) for leave in leaves]
    for thread in threads:
        thread.start()

    def counts(*wanted):
        time.sleep(0.05)
        return tuple(seen.get(leave) for leave in leaves if not leave.is_set()) == wanted

    try:
        until(lambda: counts(2, 2), "even sharing of 4 partitions")
        leaves[0].set()
        until(lambda: counts(4), "take-over of 4 partitions")
    finally:
        for leave, thread in zip(leaves, threads):
            leave.set()
            thread.join(PATIENCE_S)


def idempotent():
    name = topic("idempotent")
    made = producer(enable_idempotence=True)
    send(made, name, words(200))
    made.close()
    same([r.value for r in read(name, 200)], words(200))


def transactional(name):
    made = producer(transactional_id=name, transaction_timeout_ms=20000)
    made.init_transactions()
    return made


def transactions():
    name = topic("transactions")
    made = transactional(name)
    for word, ends in (("a", made.commit_transaction), ("aborted", made.abort_transaction), ("b", made.commit_transaction)):
        made.begin_transaction()
        send(made, name, words(5, word))
        ends()
    made.close()
    same([r.value for r in read(name, 10, isolation_level="read_committed")], words(5, "a") + words(5, "b"))
    same(len(read(name, 15, isolation_level="read_uncommitted")), 15)


def offsets_in_a_transaction():
    source, sink, group = topic("source"), topic("sink"), unique("kafka-python-group")
    made = producer()
    send(made, source, words(6))
    made.close()
    place = TopicPartition(source, 0)
    for ends, committed in (("abort_transaction", None), ("commit_transaction", 6)):
        reader, made = consumer(source, group=group, isolation_level="read_committed"), transactional(sink)
        records = until(lambda: next_records(reader), "record")
        made.begin_transaction()
        send(made, sink, [record.value for record in records])
        made.send_offsets_to_transaction({place: OffsetAndMetadata(records[-1].offset + 1, "", -1)}, reader.group_metadata())
        getattr(made, ends)()
        # Kafka's markers are written after the commit has been answered.
        until(lambda: reader.committed(place) == committed, f"committed offset {committed}")
        reader.close()
        made.close()
    same([r.value for r in read(sink, 6, isolation_level="read_committed")], words(6))


def fences():
    name = topic("fences")
    old = transactional(name)
    old.begin_transaction()
    send(old, name, words(1))
    new = transactional(name)
    try:
        old.commit_transaction()
    except KafkaError as error:
        detail = type(error).__name__
    else:
        raise AssertionError("the older producer of a transactional id committed")
    new.begin_transaction()
    send(new, name, words(1))
    new.commit_transaction()
    new.close()
    old.close(1)
    return detail


def by_time():
    name = topic("time")
    made = producer()
    for n in range(10):
        made.send(name, b"%d" % n, partition=0, timestamp_ms=1_700_000_000_000 + n * 1000).get(PATIENCE_S)
    made.close()
    place, alone = TopicPartition(name, 0), consumer()
    found = [alone.offsets_for_times({place: 1_700_000_000_000 + at})[place] for at in (0, 3500, 99_000)]
    alone.close()
    same([one and one.offset for one in found], [0, 4, None])
    newest = ADMIN.list_partition_offsets({place: OffsetSpec.MAX_TIMESTAMP})[place]
    same((newest.offset, newest.timestamp), (9, 1_700_000_009_000))


def describes_cluster():
    cluster = ADMIN.describe_cluster()
    same(len(cluster["brokers"]), 1)
    same(bool(cluster["cluster_id"]), True)


def topic_settings(name):
    settings = ADMIN.describe_configs([ConfigResource("topic", name)], config_filter="all")["topic"][name]
    return tuple(settings[key]["value"] for key in ("retention.ms", "cleanup.policy"))


def configs():
    name = topic("configs", configs={"retention.ms": "86400000"})
    same(topic_settings(name), ("86400000", "delete"))
    ADMIN.alter_configs([ConfigResource("topic", name, {"retention.ms": "3600000", "cleanup.policy": ("append", "compact")})])
    until(lambda: topic_settings(name) == ("3600000", "delete,compact"), "changed setting")
    refusal = ADMIN.alter_configs([ConfigResource("topic", name, {"retention.ms": "soon"})])["topic"][name]
    same("InvalidConfigurationError" in refusal, True)


def adds_partitions():
    name = topic("grows")
    ADMIN.create_partitions({name: 3})
    until(lambda: len(ADMIN.describe_topics([name])[0]["partitions"]) == 3, "three partitions")


def groups():
    name, group = topic("groups"), unique("kafka-python-group")
    member = consumer(name, group=group)
    until(lambda: not member.poll(100) and len(member.assignment()) == 1, "assignment")
    member.commit({TopicPartition(name, 0): OffsetAndMetadata(0, "", -1)})
    same(group in [listed["group_id"] for listed in ADMIN.list_groups()], True)
    described = ADMIN.describe_groups([group])[group]
    same((described["group_state"], len(described["members"])), ("Stable", 1))
    member.close()
    ADMIN.delete_groups([group])
    same(group in [listed["group_id"] for listed in ADMIN.list_groups()], False)


def deletes_records():
    name = topic("records")
    place = TopicPartition(name, 0)
    made = producer()
    send(made, name, words(10))
    made.close()
    ADMIN.delete_records({place: 7})
    alone = consumer()
    same((alone.beginning_offsets([place])[place], alone.end_offsets([place])[place]), (7, 10))
    alone.close()


def deletes_topic():
    name = topic("gone")
    ADMIN.delete_topics([name])
    until(lambda: name not in ADMIN.list_topics(), "end of the topic")


def main():
    teller = Teller("kafka-python", kafka.__version__)
    show = teller.show
    show("creates-a-topic", lambda: topic("creates") and None)
    show("keys-and-headers", keys_and_headers)
    for codec in COMPRESSIONS:
        show(f"compresses-{codec}", lambda codec=codec: compresses(codec))
    show("resumes-where-it-committed", resumes)
    show("shares-a-group", shares)
    show("produces-idempotently", idempotent)
    show("commits-and-aborts", transactions)
    show("offsets-in-a-transaction", offsets_in_a_transaction)
    show("fences-the-older-producer", fences)
    show("offsets-by-time", by_time)
    show("describes-the-cluster", describes_cluster)
    show("configs", configs)
    show("adds-partitions", adds_partitions)
    show("groups", groups)
    show("deletes-records", deletes_records)
    show("deletes-a-topic", deletes_topic)


main()
