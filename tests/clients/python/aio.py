"""aiokafka: kafka-python's older sibling for asyncio."""

import asyncio
import contextlib

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from telling import PATIENCE_S, Teller, bootstrap, same, unique

SERVERS = bootstrap()
COMPRESSIONS = ("gzip", "snappy", "lz4", "zstd")


@contextlib.asynccontextmanager
async def running(made):
    """Starts a client and stops it afterwards, whatever happens."""
    await asyncio.wait_for(made.start(), PATIENCE_S)
    try:
        yield made
    finally:
        await made.close() if isinstance(made, AIOKafkaAdminClient) else await made.stop()


def admin():
    return running(AIOKafkaAdminClient(bootstrap_servers=SERVERS))


def producer(**settings):
    return running(AIOKafkaProducer(bootstrap_servers=SERVERS, acks="all", **settings))


def consumer(*topics, group=None, **settings):
    return running(AIOKafkaConsumer(
        *topics, bootstrap_servers=SERVERS, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **settings
    ))


async def topic(name, partitions=1, configs=None):
    name = unique(f"aiokafka-{name}")
    async with admin() as at:
        answer = await at.create_topics([NewTopic(name, partitions, 1, topic_configs=configs or {})])
        same([error for _, error, *_ in answer.topic_errors], [0])
    return name


async def send(to, name, values):
    for sent in [await to.send(name, value, partition=0) for value in values]:
        await asyncio.wait_for(sent, PATIENCE_S)


def words(count, word="v"):
    return [b"%s%d" % (word.encode(), n) for n in range(count)]


async def take(reader, count):
    return [await asyncio.wait_for(reader.getone(), PATIENCE_S) for _ in range(count)]


async def read(name, count, **settings):
    """The first records of partition 0, read without a group."""
    async with consumer(**settings) as reader:
        reader.assign([TopicPartition(name, 0)])
        await reader.seek_to_beginning()
        return await take(reader, count)


async def until(condition, what):
    async def waits():
        while not await condition():
            await asyncio.sleep(0.1)

    try:
        await asyncio.wait_for(waits(), PATIENCE_S)
    except asyncio.TimeoutError as error:
        raise TimeoutError(f"no {what} within {PATIENCE_S} s") from error


async def keys_and_headers():
    name, headers = await topic("headers"), [("origin", b"python"), ("origin", b"again")]
    async with producer() as made:
        await made.send_and_wait(name, b"bytes", key=b"\xff\x00", headers=headers, partition=0)
        await made.send_and_wait(name, None, key=b"k", partition=0)
    same([(r.key, r.value, list(r.headers)) for r in await read(name, 2)], [(b"\xff\x00", b"bytes", headers), (b"k", None, [])])


async def compresses(codec):
    name = await topic(codec)
    async with producer(compression_type=codec, linger_ms=50) as made:
        await send(made, name, words(100))
    same([r.value for r in await read(name, 100)], words(100))


async def resumes():
    name, group = await topic("resumes"), unique("aiokafka-group")
    async with producer() as made:
        await send(made, name, words(10))
    place = TopicPartition(name, 0)
    async with consumer(name, group=group) as first:
        await take(first, 4)
        await first.commit({place: 4})
    async with consumer(name, group=group) as second:
        same((await take(second, 1))[0].offset, 4)
        same(await second.committed(place), 4)


async def shares():
    name, group = await topic("shares", 4), unique("aiokafka-group")
    async with consumer(name, group=group) as stays:
        async with consumer(name, group=group) as leaves:
            async def even():
                return len(stays.assignment()) == len(leaves.assignment()) == 2

            await until(even, "even sharing of 4 partitions")

        async def all_four():
            return len(stays.assignment()) == 4

        await until(all_four, "take-over of 4 partitions")


async def idempotent():
    name = await topic("idempotent")
    async with producer(enable_idempotence=True) as made:
        await send(made, name, words(200))
    same([r.value for r in await read(name, 200)], words(200))


def transactional(name):
    return producer(transactional_id=name, transaction_timeout_ms=20000)


async def transactions():
    name = await topic("transactions")
    async with transactional(name) as made:
        for word, ends in (("a", made.commit_transaction), ("aborted", made.abort_transaction), ("b", made.commit_transaction)):
            await made.begin_transaction()
            await send(made, name, words(5, word))
            await ends()
    same([r.value for r in await read(name, 10, isolation_level="read_committed")], words(5, "a") + words(5, "b"))
    same(len(await read(name, 15, isolation_level="read_uncommitted")), 15)


async def offsets_in_a_transaction():
    source, sink, group = await topic("source"), await topic("sink"), unique("aiokafka-group")
    async with producer() as made:
        await send(made, source, words(6))
    place = TopicPartition(source, 0)
    for ends, committed in (("abort_transaction", None), ("commit_transaction", 6)):
        async with consumer(source, group=group, isolation_level="read_committed") as reader, transactional(sink) as made:
            records = await take(reader, 6)
            await made.begin_transaction()
            await send(made, sink, [record.value for record in records])
            await made.send_offsets_to_transaction({place: OffsetAndMetadata(6, "")}, group)
            await getattr(made, ends)()

            async def settled():
                return await reader.committed(place) == committed

            # Kafka's markers are written after the commit has been answered.
            await until(settled, f"committed offset {committed}")
    same([r.value for r in await read(sink, 6, isolation_level="read_committed")], words(6))


async def fences():
    name = await topic("fences")
    async with transactional(name) as old:
        await old.begin_transaction()
        await send(old, name, words(1))
        async with transactional(name) as new:
            try:
                await old.commit_transaction()
            except KafkaError as error:
                detail = type(error).__name__
            else:
                raise AssertionError("the older producer of a transactional id committed")
            await new.begin_transaction()
            await send(new, name, words(1))
            await new.commit_transaction()
    return detail


async def by_time():
    name = await topic("time")
    async with producer() as made:
        for n in range(10):
            await made.send_and_wait(name, b"%d" % n, partition=0, timestamp_ms=1_700_000_000_000 + n * 1000)
    place = TopicPartition(name, 0)
    async with consumer() as alone:
        found = [(await alone.offsets_for_times({place: 1_700_000_000_000 + at}))[place] for at in (0, 3500, 99_000)]
    same([one and one.offset for one in found], [0, 4, None])


async def describes_cluster():
    async with admin() as at:
        cluster = await at.describe_cluster()
    same(len(cluster["brokers"]), 1)
    same(bool(cluster["cluster_id"]), True)


async def topic_settings(at, name):
    answers = await at.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    # Each resource is (error, message, type, name, settings), each setting begins with name and value.
    settings = {setting[0]: setting[1] for answer in answers for resource in answer.resources for setting in resource[4]}
    return settings["retention.ms"], settings["cleanup.policy"]


async def configs():
    name = await topic("configs", configs={"retention.ms": "86400000"})
    async with admin() as at:
        same(await topic_settings(at, name), ("86400000", "delete"))
        await at.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "3600000"})])

        async def changed():
            return await topic_settings(at, name) == ("3600000", "delete")

        await until(changed, "changed setting")


async def adds_partitions():
    name = await topic("grows")
    async with admin() as at:
        await at.create_partitions({name: NewPartitions(3)})

        async def grown():
            return len((await at.describe_topics([name]))[0]["partitions"]) == 3

        await until(grown, "three partitions")


async def groups():
    name, group = await topic("groups"), unique("aiokafka-group")
    async with admin() as at, consumer(name, group=group) as member:
        await member.commit({TopicPartition(name, 0): 0})
        same(group in [listed[0] for listed in await at.list_consumer_groups()], True)
        (answer,) = await at.describe_consumer_groups([group])
        # Each group is (error, id, state, protocol type, protocol, members, …).
        same((answer.groups[0][2], len(answer.groups[0][5])), ("Stable", 1))


async def deletes_records():
    name = await topic("records")
    place = TopicPartition(name, 0)
    async with producer() as made:
        await send(made, name, words(10))
    async with admin() as at:
        same(await at.delete_records({place: RecordsToDelete(before_offset=7)}), {place: 7})
    async with consumer() as alone:
        same(((await alone.beginning_offsets([place]))[place], (await alone.end_offsets([place]))[place]), (7, 10))


async def deletes_topic():
    name = await topic("gone")
    async with admin() as at:
        await at.delete_topics([name])

        async def gone():
            return name not in await at.list_topics()

        await until(gone, "end of the topic")


def main():
    teller = Teller("aiokafka", aiokafka.__version__)

    def show(fact, work):
        teller.show(fact, lambda: asyncio.run(asyncio.wait_for(work(), 3 * PATIENCE_S)))

    async def creates():
        await topic("creates")

    show("creates-a-topic", creates)
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
