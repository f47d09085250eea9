"""confluent-kafka: librdkafka in Python."""

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
)

from telling import PATIENCE_S, Refused, Teller, bootstrap, same, unique, until

BASE = {"bootstrap.servers": bootstrap(), "broker.address.family": "v4"}
ADMIN = AdminClient(BASE)
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")


def topic(name, partitions=1, config=None):
    name = unique(f"confluent-{name}")
    ADMIN.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result(PATIENCE_S)
    return name


def producer(**settings):
    return Producer({**BASE, "acks": "all", "message.timeout.ms": 20000, **{k.replace("_", "."): v for k, v in settings.items()}})


def consumer(group, **settings):
    return Consumer({
        **BASE, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        **{k.replace("_", "."): v for k, v in settings.items()},
    })


def send(to, name, records, partition=0):
    """Produces (key, value, headers) triples and fails unless every one was acknowledged."""
    failed = []
    for key, value, headers in records:
        to.produce(name, value, key=key, headers=headers, partition=partition, on_delivery=lambda e, _: e and failed.append(str(e)))
    same(to.flush(PATIENCE_S), 0)
    same(failed, [])


def plain(count, word="v"):
    return [(b"k%d" % n, b"%s%d" % (word.encode(), n), None) for n in range(count)]


def next_record(reader):
    message = reader.poll(1)
    if message is None:
        return None
    if message.error():
        raise KafkaException(message.error())
    return message


def read(name, count, **settings):
    """The first records of partition 0, read without a group's help."""
    reader = consumer(unique("confluent-alone"), **settings)
    reader.assign([TopicPartition(name, 0, 0)])
    got = [until(lambda: next_record(reader), f"record {n} of {name}") for n in range(count)]
    reader.close()
    return got


def keys_and_headers():
    name = topic("headers")
    records = [(b"\xff\x00", b"bytes", [("origin", b"python"), ("null", None), ("origin", b"again")]), (None, None, None), (b"k", b"", [])]
    send(producer(), name, records)
    same([(m.key(), m.value(), m.headers() or None) for m in read(name, 3)], [(k, v, h or None) for k, v, h in records])


def compresses(codec):
    name = topic(codec)
    send(producer(compression_type=codec, linger_ms=50), name, plain(100))
    same([m.value() for m in read(name, 100)], [b"v%d" % n for n in range(100)])


def resumes():
    name, group = topic("resumes"), unique("confluent-group")
    send(producer(), name, plain(10))
    first = consumer(group)
    first.subscribe([name])
    for _ in range(4):
        last = until(lambda: next_record(first), "record")
    first.commit(message=last, asynchronous=False)
    first.close()
    second = consumer(group)
    second.subscribe([name])
    same(until(lambda: next_record(second), "record").offset(), 4)
    same(second.committed([TopicPartition(name, 0)], PATIENCE_S)[0].offset, 4)
    second.close()


def shares(strategy):
    name, group = topic("shares", 4), unique("confluent-group")
    pair = [consumer(group, **{"partition_assignment_strategy": strategy}) for _ in range(2)]

    def even():
        for member in pair:
            member.poll(0.2)
        return [len(member.assignment()) for member in pair] == [2, 2]

    for member in pair:
        member.subscribe([name])
    until(even, "even sharing of 4 partitions")
    pair[0].close()
    until(lambda: not pair[1].poll(0.2) and len(pair[1].assignment()) == 4, "take-over of 4 partitions")
    pair[1].close()


def static_member():
    name, group = topic("static", 2), unique("confluent-group")
    stays = consumer(group, **{"group_instance_id": "stays", "session_timeout_ms": 10000})
    moved = []
    stays.subscribe([name], on_revoke=lambda _, partitions: moved.append(partitions))
    comes = consumer(group, **{"group_instance_id": "comes", "session_timeout_ms": 10000})
    comes.subscribe([name])

    def shared():
        comes.poll(0.1)
        stays.poll(0.1)
        return len(stays.assignment()) == len(comes.assignment()) == 1

    until(shared, "sharing of 2 partitions")
    moved.clear()
    comes.close()
    comes = consumer(group, **{"group_instance_id": "comes", "session_timeout_ms": 10000})
    comes.subscribe([name])
    until(shared, "return of the member")
    same(moved, [])
    comes.close()
    stays.close()


def idempotent():
    name = topic("idempotent")
    send(producer(enable_idempotence=True), name, plain(200))
    same([m.value() for m in read(name, 200)], [b"v%d" % n for n in range(200)])
    same(read_offsets(name), (0, 200))


def read_offsets(name):
    alone = consumer(unique("confluent-alone"))
    low_high = alone.get_watermark_offsets(TopicPartition(name, 0), PATIENCE_S)
    alone.close()
    return low_high


def transactional(name):
    made = producer(transactional_id=name, transaction_timeout_ms=20000)
    made.init_transactions(PATIENCE_S)
    return made


def transactions():
    name = topic("transactions")
    made = transactional(name)
    for word, ends in (("a", made.commit_transaction), ("aborted", made.abort_transaction), ("b", made.commit_transaction)):
        made.begin_transaction()
        send(made, name, plain(5, word))
        ends(PATIENCE_S)
    wanted = [b"%s%d" % (word, n) for word in (b"a", b"b") for n in range(5)]
    same([m.value() for m in read(name, 10, isolation_level="read_committed")], wanted)
    same(len(read(name, 15, isolation_level="read_uncommitted")), 15)


def offsets_in_a_transaction():
    source, sink, group = topic("source"), topic("sink"), unique("confluent-group")
    send(producer(), source, plain(6))
    for ends, committed in (("abort", -1001), ("commit", 6)):
        reader, made = consumer(group, isolation_level="read_committed"), transactional(sink)
        reader.subscribe([source])
        made.begin_transaction()
        for _ in range(6):
            message = until(lambda: next_record(reader), "record")
            made.produce(sink, message.value(), partition=0)
        made.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), PATIENCE_S)
        (made.abort_transaction if ends == "abort" else made.commit_transaction)(PATIENCE_S)
        same(reader.committed([TopicPartition(source, 0)], PATIENCE_S)[0].offset, committed)
        reader.close()
    same([m.value() for m in read(sink, 6, isolation_level="read_committed")], [b"v%d" % n for n in range(6)])


def fences():
    name = topic("fences")
    old = transactional(name)
    old.begin_transaction()
    send(old, name, plain(1))
    new = transactional(name)
    new.begin_transaction()
    try:
        old.commit_transaction(PATIENCE_S)
    except KafkaException as error:
        same(error.args[0].code(), KafkaError._FENCED)
    else:
        raise AssertionError("the older producer of a transactional id committed")
    new.abort_transaction(PATIENCE_S)


def by_time():
    name = topic("time")
    made = producer()
    for n in range(10):
        made.produce(name, b"%d" % n, partition=0, timestamp=1_700_000_000_000 + n * 1000)
    same(made.flush(PATIENCE_S), 0)
    alone = consumer(unique("confluent-alone"))
    asked = [TopicPartition(name, 0, 1_700_000_000_000 + at) for at in (0, 3500, 99_000)]
    same([alone.offsets_for_times([one], PATIENCE_S)[0].offset for one in asked], [0, 4, -1])
    alone.close()
    newest = ADMIN.list_offsets({TopicPartition(name, 0): OffsetSpec.max_timestamp()})
    same([(f.result(PATIENCE_S).offset, f.result(PATIENCE_S).timestamp) for f in newest.values()], [(9, 1_700_000_009_000)])


def log_append_time():
    name = topic("append-time", config={"message.timestamp.type": "LogAppendTime"})
    made = producer()
    made.produce(name, b"v", partition=0, timestamp=1000)
    same(made.flush(PATIENCE_S), 0)
    kind, at = read(name, 1)[0].timestamp()
    same(kind, confluent_kafka.TIMESTAMP_LOG_APPEND_TIME)
    same(at > 1_700_000_000_000, True)


def describes_cluster():
    cluster = ADMIN.describe_cluster(request_timeout=PATIENCE_S).result()
    same(len(cluster.nodes), 1)
    same(bool(cluster.cluster_id), True)


def configs():
    name = topic("configs", config={"retention.ms": "86400000"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    found = ADMIN.describe_configs([resource])[resource].result(PATIENCE_S)
    same((found["retention.ms"].value, found["cleanup.policy"].value), ("86400000", "delete"))
    wanted = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[
        ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
    ])
    ADMIN.incremental_alter_configs([wanted])[wanted].result(PATIENCE_S)

    def changed():
        found = ADMIN.describe_configs([resource])[resource].result(PATIENCE_S)
        return (found["retention.ms"].value, found["cleanup.policy"].value) == ("3600000", "delete,compact")

    until(changed, "changed setting")
    wrong = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[
        ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)])
    try:
        ADMIN.incremental_alter_configs([wrong])[wrong].result(PATIENCE_S)
    except KafkaException as error:
        same(error.args[0].code(), KafkaError.INVALID_CONFIG)
    else:
        raise AssertionError("an impossible value was taken")


def adds_partitions():
    name = topic("grows", 1)
    ADMIN.create_partitions([NewPartitions(name, 3)])[name].result(PATIENCE_S)
    until(lambda: len(ADMIN.list_topics(name, PATIENCE_S).topics[name].partitions) == 3, "three partitions")


def groups():
    name, group = topic("groups"), unique("confluent-group")
    send(producer(), name, plain(3))
    member = consumer(group)
    member.subscribe([name])
    last = until(lambda: next_record(member), "record")
    member.commit(message=last, asynchronous=False)
    listed = ADMIN.list_consumer_groups(request_timeout=PATIENCE_S).result()
    same(group in [one.group_id for one in listed.valid], True)
    described = ADMIN.describe_consumer_groups([group], request_timeout=PATIENCE_S)[group].result()
    same((described.state.name, len(described.members)), ("STABLE", 1))
    member.close()
    ADMIN.delete_consumer_groups([group])[group].result(PATIENCE_S)


def deletes_records():
    name = topic("records")
    send(producer(), name, plain(10))
    ADMIN.delete_records([TopicPartition(name, 0, 7)])[TopicPartition(name, 0)].result(PATIENCE_S)
    same(read_offsets(name), (7, 10))


def deletes_topic():
    name = topic("gone")
    ADMIN.delete_topics([name])[name].result(PATIENCE_S)
    until(lambda: name not in ADMIN.list_topics(timeout=PATIENCE_S).topics, "end of the topic")


def next_generation():
    name, group = topic("consumer", 2), unique("confluent-group")
    send(producer(), name, plain(3))
    member = Consumer({**BASE, "group.id": group, "auto.offset.reset": "earliest", "group.protocol": "consumer"})
    member.subscribe([name])
    told = []

    def record():
        message = member.poll(1)
        if message is not None and message.error():
            told.append(message.error())
        return message

    try:
        message = until(record, "record and no error: the member waits in silence")
    finally:
        member.close()
    if told:
        raise Refused(f"{told[0].name()}: {told[0].str()}")
    same(message.offset(), 0)


def main():
    teller = Teller("confluent-kafka", confluent_kafka.__version__)
    show = teller.show
    show("creates-a-topic", lambda: topic("creates") and None)
    show("keys-and-headers", keys_and_headers)
    for codec in COMPRESSIONS[1:]:
        show(f"compresses-{codec}", lambda codec=codec: compresses(codec))
    show("resumes-where-it-committed", resumes)
    show("shares-a-group", lambda: shares("range"))
    show("shares-a-group-cooperatively", lambda: shares("cooperative-sticky"))
    show("comes-back-as-static-member", static_member)
    show("produces-idempotently", idempotent)
    show("commits-and-aborts", transactions)
    show("offsets-in-a-transaction", offsets_in_a_transaction)
    show("fences-the-older-producer", fences)
    show("offsets-by-time", by_time)
    show("log-append-time", log_append_time)
    show("describes-the-cluster", describes_cluster)
    show("configs", configs)
    show("adds-partitions", adds_partitions)
    show("groups", groups)
    show("deletes-records", deletes_records)
    show("deletes-a-topic", deletes_topic)
    show("next-generation-group", next_generation)


main()
