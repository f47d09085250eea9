//! The Avro schemas of the wire, and the one place that reads and writes them.
