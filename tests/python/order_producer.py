#!/usr/bin/env python3
"""Places orders on a topic as a service outside of Backstitch would: confluent-kafka, fastavro, and the schema's file.

A share of the orders is marked: `fail_at` names an activity, chosen at random, and `fail_how` what its reference worker then does.
The same seed places the same orders. Ends when every order is acknowledged, and prints one JSON object: how many were sent, how
many were marked for each activity, and how many of all must end compensated.
"""

import argparse
import collections
import functools
import io
import json
import pathlib
import random
import sys
import time

import fastavro
from confluent_kafka import Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "schemas" / "avsc" / "order_placed.avsc"
COUNTRIES = ("AT", "CH", "DE", "FR", "NL")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True, help="bootstrap servers")
    parser.add_argument("--topic", default="orders")
    parser.add_argument("--orders", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="number of the first order")
    parser.add_argument("--name", default="order", help="order ids are NAME-SEED-NUMBER")
    parser.add_argument("--fail-rate", type=float, default=0.0, help="share of marked orders, 0 to 1")
    parser.add_argument(
        "--fail-at",
        default="check-fraud,reserve-stock,charge-payment,ship-order",
        help="the activities that a marker may name",
    )
    parser.add_argument(
        "--fail-how",
        default="refuse,fail_always",
        help="what a marker may ask for: refuse; fail (twice, then done); fail_always; hang (once, then done)",
    )
    parser.add_argument("--value", choices=("avro", "json"), default="avro", help="how events are written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="orders a second; 0: as fast as it goes")
    parser.add_argument(
        "--record", type=pathlib.Path, help="a file to write each acknowledged order to: a JSON object a line, its id and marks"
    )
    return parser.parse_args()


def encoder(args):
    """Returns what turns an order into a record's value."""
    if args.value == "json":
        return lambda order: json.dumps(order).encode()
    text = json.loads(SCHEMA.read_text(encoding="utf-8"))
    if args.fail_rate > 0 and not {"fail_at", "fail_how"} <= {field["name"] for field in text["fields"]}:
        sys.exit(f"order_producer: {SCHEMA} has no fields fail_at and fail_how: mark orders with --value json")
    # The single-object frame: C3 01 and the schema's CRC-64-AVRO fingerprint, low byte first.
    frame = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(text), "CRC-64-AVRO"))
    schema = fastavro.parse_schema(text)

    def encode(order):
        value = io.BytesIO()
        value.write(frame)
        fastavro.schemaless_writer(value, schema, order)
        return value.getvalue()

    return encode


def make_order(args, number, chance):
    """Returns the order of this number; every draw is made whether it is needed or not, so that rates change marks alone."""
    is_marked = chance.random() < args.fail_rate
    fail_at, fail_how = chance.choice(args.fail_at.split(",")), chance.choice(args.fail_how.split(","))
    order = {
        "type": "OrderPlaced",
        "order_id": f"{args.name}-{args.seed}-{number}",
        "customer_id": f"customer-{chance.randrange(1000)}",
        "total": chance.randrange(100, 50_000),
        "currency": "EUR",
        "lines": [
            {"sku": f"sku-{chance.randrange(50)}", "n": chance.randrange(1, 5)} for _ in range(chance.randrange(1, 4))
        ],
        "address": {"street": "Main Street 1", "city": "Springfield", "country": chance.choice(COUNTRIES)},
        "placed_at_ms": int(time.time() * 1000),
    }
    return order | {"fail_at": fail_at, "fail_how": fail_how} if is_marked else order


def main():
    args = parse_arguments()
    encode = encoder(args)
    lost = []
    # Nothing is dropped while a broker is away, and a repeated send is written once. Keys lie where Java's clients put them.
    producer = Producer(
        {
            "bootstrap.servers": args.bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,  # A broker that is away is expected here.
        }
    )

    record = args.record.open("w", encoding="utf-8") if args.record else None

    def acknowledged(order, error, _message):
        if error is not None:
            lost.append(f"{order['order_id']}: {error}")
        elif record:
            json.dump({name: order.get(name) for name in ("order_id", "fail_at", "fail_how")}, record)
            record.write("\n")

    chance = random.Random(args.seed)
    failed_at, compensated = collections.Counter(), 0
    began = time.monotonic()
    for sent in range(args.orders):
        if args.rate > 0:
            # Serves acknowledgements until the order is due.
            while (early := began + sent / args.rate - time.monotonic()) > 0:
                producer.poll(early)
        order = make_order(args, args.first + sent, chance)
        if "fail_at" in order:
            failed_at[order["fail_at"]] += 1
            compensated += order["fail_how"] in ("refuse", "fail_always")
        # Each order brings its own: a loop's variable would be another order's by then.
        on_delivery = functools.partial(acknowledged, order)
        while True:
            try:
                producer.produce(args.topic, encode(order), order["order_id"], on_delivery=on_delivery)
                break
            except BufferError:  # The queue is full: let some arrive.
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    if record:
        record.close()
    sent = args.orders - len(lost)
    print(json.dumps({"sent": sent, "failed_at": dict(sorted(failed_at.items())), "compensated": compensated}))
    for why in lost:
        print(f"order_producer: not acknowledged: {why}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
