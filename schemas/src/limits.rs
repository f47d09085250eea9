//! How much a message may cost before it is refused.

/// Bounds what decoding one message may cost.
///
/// The input is attacker-controlled until it has been decoded, so each bound holds before anything is
/// allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one framed message, read or written. Default 1 MiB, Kafka's own default. A dead letter
    /// carries a whole record and may have twice as many.
    pub input_bytes_max: usize,
    /// Bytes that a decoded value may take, by an estimate that errs upward. Default 8 MiB.
    pub allocation_max: usize,
    /// Records, arrays and maps within one another in an Avro value. Default 32.
    pub depth_max: usize,
    /// Objects and arrays within one another in a JSON value. Default 64.
    pub json_depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes_max: 1 << 20,
            allocation_max: 8 << 20,
            depth_max: 32,
            json_depth_max: 64,
        }
    }
}
