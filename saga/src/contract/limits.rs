//! What a schema may hold at most. Each is refused with its number, never truncated.

/// Size of a schema's text. 256 KiB.
pub const SCHEMA_BYTES_MAX: usize = 262_144;

/// Types in a schema, each use of a name not counted. 5,000.
pub const SCHEMA_TYPES_MAX: usize = 5_000;

/// Types inside each other in the text of a schema. 32; a name may still refer to a type around it.
pub const SCHEMA_DEPTH_MAX: usize = 32;

/// Levels of a document that is held against a schema. 128, which is what a JSON parser lets pass.
pub const DOCUMENT_DEPTH_MAX: usize = 128;

/// Differences that are told between two schemas. 100.
pub const DIFFERENCES_MAX: usize = 100;
