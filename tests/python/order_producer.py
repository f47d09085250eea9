#!/usr/bin/env python3
"""Places orders on a topic as a service outside of Backstitch would: confluent-kafka, fastavro, and the schema's file.

A share of the orders carries a marker that makes one step, chosen at random, answer otherwise than *done*. The same seed places
the same orders. Ends when every order is acknowledged, and prints one JSON object: how many were sent, and how many were marked
for each step.
"""

import argparse
import collections
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
    parser.add_argument("--fail-how", default="refuse", help="what markers may ask for: refuse, fail, hang")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="orders a second; 0: as fast as it goes")
    return parser.parse_args()


def framing(schema):
    """Returns the single-object header: C3 01 and the schema's CRC-64-AVRO fingerprint, low byte first."""
    return b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def make_order(args, number, chance):
    """Returns an order and the activity that it is marked for, if any."""
    marked = chance.choice(args.fail_at.split(",")) if chance.random() < args.fail_rate else None
    customer = f"customer-{chance.randrange(1000)}"
    if marked:
        customer += f" {chance.choice(args.fail_how.split(','))}:{marked}"
    order = {
        "type": "OrderPlaced",
        "order_id": f"{args.name}-{args.seed}-{number}",
        "customer_id": customer,
        "total": chance.randrange(100, 50_000),
        "currency": "EUR",
        "lines": [
            {"sku": f"sku-{chance.randrange(50)}", "n": chance.randrange(1, 5)} for _ in range(chance.randrange(1, 4))
        ],
        "address": {"street": "Main Street 1", "city": "Springfield", "country": chance.choice(COUNTRIES)},
        "placed_at_ms": int(time.time() * 1000),
    }
    return order, marked


def main():
    args = parse_arguments()
    text = json.loads(SCHEMA.read_text(encoding="utf-8"))
    header, schema = framing(text), fastavro.parse_schema(text)
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
        }
    )

    def acknowledged(error, message):
        if error is not None:
            lost.append(f"{message.key().decode()}: {error}")

    chance = random.Random(args.seed)
    failed_at = collections.Counter()
    began = time.monotonic()
    for sent in range(args.orders):
        if args.rate > 0:
            # Serves acknowledgements until the order is due.
            while (early := began + sent / args.rate - time.monotonic()) > 0:
                producer.poll(early)
        order, marked = make_order(args, args.first + sent, chance)
        failed_at.update([marked] if marked else [])
        value = io.BytesIO()
        fastavro.schemaless_writer(value, schema, order)
        while True:
            try:
                producer.produce(
                    args.topic, header + value.getvalue(), order["order_id"], on_delivery=acknowledged
                )
                break
            except BufferError:  # The queue is full: let some arrive.
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    print(json.dumps({"sent": args.orders - len(lost), "failed_at": dict(sorted(failed_at.items()))}))
    for why in lost:
        print(f"order_producer: not acknowledged: {why}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
