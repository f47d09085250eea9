"""A Backstitch worker for the activity notify-customer that needs nothing of Backstitch but its schemas: see workers.md."""
import argparse, fastavro, glob, io, json, sqlite3, sys, time
from confluent_kafka import Consumer, KafkaException, Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form as canonical

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
for name, default in {"bootstrap": "127.0.0.1:9092", "prefix": "backstitch", "instance": "notify-1",
                      "schemas": "schemas/avsc", "memory": "notices.db"}.items():
    parser.add_argument(f"--{name}", default=default)
args = parser.parse_args()

def read_schema(path):  # With what stands in front of its values: C3 01 and the schema's fingerprint, low byte first.
    schema = json.load(open(path))
    return b"\xc3\x01" + bytes.fromhex(fingerprint(canonical(schema), "CRC-64-AVRO")), fastavro.parse_schema(schema)
REPLY_FRAME, REPLY = read_schema(f"{args.schemas}/reply.avsc")
COMMANDS = dict(map(read_schema, glob.glob(f"{args.schemas}/**/command*.avsc", recursive=True)))  # Released versions too.
db = sqlite3.connect(args.memory, isolation_level=None)
db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, outcome TEXT, output BLOB, code TEXT)")
db.execute("CREATE TABLE IF NOT EXISTS notices (key TEXT, what TEXT, customer TEXT)")  # Stands for the real effect.

def answer(command):  # Returns outcome, output and code.
    key, done_key, customer = command["idempotency_key"], command["done_key"], json.loads(command["input"]).get("customer")
    if known := db.execute("SELECT outcome, output, code FROM answers WHERE key = ?", [key]).fetchone():
        return known  # W-1: a key is answered once, and that answer is repeated.
    said = ("DONE", json.dumps({"customer": customer}).encode(), None)
    if command["direction"] == "UNDO":  # Where the do has not come yet, it must find itself refused when it does.
        db.execute("INSERT OR IGNORE INTO answers VALUES (?, 'REFUSED', NULL, 'undone_before_done')", [done_key])
        db.execute("INSERT INTO notices SELECT key, 'taken back', customer FROM notices WHERE key = ?", [done_key])
    elif customer:
        db.execute("INSERT INTO notices VALUES (?, 'sent', ?)", [key, customer])
    else:  # W-2: refused means that nothing changed.
        said = ("REFUSED", None, "no_customer")
    db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", [key, *said])
    return said

def reply(record, command, outcome, output, code):
    copied = {name: command[name] for name in ("saga", "step", "direction", "attempt", "idempotency_key")}
    said, value = {"outcome": outcome, "output": output, "code": code, "at_ms": int(time.time() * 1000)}, io.BytesIO()
    fastavro.schemaless_writer(value, REPLY, copied | said)
    trace = [header for header in record.headers() or [] if header[0] == "traceparent"]
    producer.produce(command["reply_topic"], REPLY_FRAME + value.getvalue(), record.key(), command["reply_partition"], headers=trace)

consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": f"{args.prefix}.worker.notify-customer",
                     "group.instance.id": args.instance, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": args.bootstrap, "enable.idempotence": True, "message.timeout.ms": 0})
consumer.subscribe([f"{args.prefix}.commands.notify-customer"])
while True:  # To stop it, kill it: whatever was not committed is read again.
    records = [record for record in consumer.consume(100, timeout=0.1) if (record.value() or b"")[:10] in COMMANDS]
    commands = [fastavro.schemaless_reader(io.BytesIO(r.value()[10:]), COMMANDS[r.value()[:10]]) for r in records]
    db.execute("BEGIN IMMEDIATE")  # The effects and the memory of them are one transaction; the answers follow its commit.
    answers = [answer(command) for command in commands]
    db.execute("COMMIT")
    for record, command, said in zip(records, commands, answers):
        reply(record, command, *said)
    producer.flush()  # An offset is committed only after every answer to what lies before it has arrived.
    try:
        not records or consumer.commit(asynchronous=False)
    except KafkaException as why:  # The partition has gone to another process, which answers these again, and the same.
        print(f"offsets not committed: {why}", file=sys.stderr)
