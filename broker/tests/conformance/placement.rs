//! Keys lie where Java's producer puts them.

use backstitch_broker::{OutgoingRecord, Producer};

use crate::world::{config, topic};

/// Kafka's own test vectors for its murmur2 (`UtilsTest.testMurmur2`).
const JAVA: &[(&str, i32)] = &[
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    (
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
        -58_897_971,
    ),
    ("abc", 479_470_107),
];

#[test]
fn a_key_lies_in_the_partition_where_java_puts_it() {
    for partitions in [4, 7] {
        let topic = topic("placement", partitions);
        let producer = Producer::new(&config(), |_| {}).unwrap();
        for (key, hash) in JAVA {
            let (partition, _) = producer
                .send_one(OutgoingRecord::new(topic.as_str(), "x").with_key(*key))
                .unwrap();
            assert_eq!(
                partition,
                (hash & 0x7fff_ffff) % partitions,
                "{key} among {partitions}"
            );
        }
    }
}
