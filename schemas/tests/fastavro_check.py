"""Holds the golden bytes against fastavro: same fingerprint, same values, same bytes.

Prints one line for each record and ends with status 1 at the first difference.
"""

import base64
import datetime
import io
import json
import pathlib
import sys

import fastavro
import fastavro.schema

ROOT = pathlib.Path(__file__).resolve().parent.parent
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(value):
    """Turns what fastavro reads into what the golden JSON says."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def check(hex_file):
    name = hex_file.stem
    golden = bytes.fromhex("".join(hex_file.read_text().split()))
    source = json.loads((ROOT / "avsc" / f"{name}.avsc").read_text())
    schema = fastavro.parse_schema(source)
    canonical = fastavro.schema.to_parsing_canonical_form(source)
    fingerprint = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    frame = b"\xc3\x01" + bytes.fromhex(fingerprint)
    assert golden[:10] == frame, f"{name}: frame {golden[:10].hex()}, fastavro {frame.hex()}"

    stream = io.BytesIO(golden[10:])
    record = fastavro.schemaless_reader(stream, schema)
    assert not stream.read(), f"{name}: bytes follow the datum"
    expected = json.loads((ROOT / "golden" / f"{name}.json").read_text())
    assert plain(record) == expected, f"{name}: {plain(record)} is not {expected}"

    written = io.BytesIO()
    fastavro.schemaless_writer(written, schema, record)
    assert written.getvalue() == golden[10:], f"{name}: fastavro writes {written.getvalue().hex()}"
    print(f"{name}: fingerprint, values and {len(golden)} bytes are the same")


def main():
    files = sorted((ROOT / "golden").glob("*.hex"))
    schemas = sorted(path.stem for path in (ROOT / "avsc").glob("*.avsc"))
    assert [path.stem for path in files] == schemas, "each schema has golden bytes"
    for hex_file in files:
        check(hex_file)


if __name__ == "__main__":
    try:
        main()
    except AssertionError as difference:
        sys.exit(str(difference))
