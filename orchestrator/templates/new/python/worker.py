"""Serves {{activity}} until it is killed: whatever was not committed is read again, and answered the same."""
import argparse
import glob
import io
import json
import pathlib
import sys
import time

import fastavro
from confluent_kafka import Consumer, KafkaException, Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form as canonical

import reservations

ACTIVITY = "{{activity}}"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--bootstrap", default="127.0.0.1:9092")
parser.add_argument("--prefix", default="backstitch")
parser.add_argument("--instance", default="worker-1", help="a name that outlives the process, unique in the group")
parser.add_argument("--database", default=ACTIVITY + ".db")
args = parser.parse_args()


def read_schema(path):
    """A schema, and what stands in front of its values: C3 01 and its fingerprint, low byte first."""
    schema = json.loads(pathlib.Path(path).read_text())
    return b"\xc3\x01" + bytes.fromhex(fingerprint(canonical(schema), "CRC-64-AVRO")), fastavro.parse_schema(schema)


wire = pathlib.Path(__file__).parent / "wire"
REPLY_FRAME, REPLY = read_schema(wire / "reply.avsc")
COMMANDS = dict(map(read_schema, glob.glob(str(wire / "command*.avsc"))))


def reply(record, command, outcome, output, code):
    copied = {name: command[name] for name in ("saga", "step", "direction", "attempt", "idempotency_key")}
    said = {"outcome": outcome, "output": output, "code": code, "at_ms": int(time.time() * 1000)}
    value = io.BytesIO()
    fastavro.schemaless_writer(value, REPLY, copied | said)
    trace = [header for header in record.headers() or [] if header[0] == "traceparent"]
    producer.produce(
        command["reply_topic"], REPLY_FRAME + value.getvalue(), record.key(), command["reply_partition"], headers=trace
    )


db = reservations.open_database(args.database)
producer = Producer({"bootstrap.servers": args.bootstrap, "enable.idempotence": True, "message.timeout.ms": 0})
consumer = Consumer(
    {
        "bootstrap.servers": args.bootstrap,
        "group.id": f"{args.prefix}.worker.{ACTIVITY}",
        "group.instance.id": args.instance,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([f"{args.prefix}.commands.{ACTIVITY}"])
print(f"serving {ACTIVITY}; Ctrl-C ends it", file=sys.stderr)
while True:
    records = [record for record in consumer.consume(100, timeout=0.1) if (record.value() or b"")[:10] in COMMANDS]
    commands = [fastavro.schemaless_reader(io.BytesIO(r.value()[10:]), COMMANDS[r.value()[:10]]) for r in records]
    db.execute("BEGIN IMMEDIATE")  # What is done and the memory of it are one transaction; the answers follow its commit.
    answers = [reservations.answer(db, command) for command in commands]
    db.execute("COMMIT")
    for record, command, said in zip(records, commands, answers):
        reply(record, command, *said)
    producer.flush()  # An offset is committed only after every answer to what lies before it has arrived.
    if not records:
        continue
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as why:  # The partition has gone to another process, which answers these again, and the same.
        print(f"offsets not committed: {why}", file=sys.stderr)
