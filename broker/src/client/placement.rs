//! Where a key lies: the partition in which Java's default partitioner puts it.

/// Returns the partition in which Java's default partitioner puts a key.
///
/// librdkafka does the same with `partitioner=murmur2_random` for a key that is not null.
///
/// # Panics
///
/// If `partitions` is below 1, which no topic has.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    assert!(partitions >= 1, "a topic has at least one partition");
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions
}

/// MurmurHash2, 32 bits, with the seed of Kafka's Java client.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka's record format bounds a key well below 4 GiB.
    let len = u32::try_from(key.len()).expect("a Kafka key is shorter than 4 GiB");
    let mut hash = SEED ^ len;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_javas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_partition_is_the_positive_hash_modulo_the_count() {
        assert_eq!(partition_of(b"abc", 100), 479_470_107 % 100);
        assert_eq!(partition_of(b"21", 7), (-973_932_308 & 0x7fff_ffff) % 7);
        assert_eq!(partition_of(b"anything", 1), 0);
    }
}
