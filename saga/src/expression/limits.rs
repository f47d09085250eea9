//! What an expression may cost at most. Each limit is refused with its number, never truncated.

/// Characters in one expression. 4,096: a longer one is a program and belongs in a worker.
pub const SOURCE_CHARS_MAX: usize = 4_096;

/// Brackets that are open at once. 32; the parser takes about 12 KiB of the thread's stack for each.
pub const NESTING_MAX: usize = 32;

/// Characters of operators (`.`, `+`, `&&` counts two). 512: chains nest in the parser too.
pub const OPERATOR_CHARS_MAX: usize = 512;

/// Levels of the syntax tree, macros expanded. 32, which is a sum of 31 terms; `&&` and `||` nest
/// less. Evaluation takes up to 32 KiB of the thread's stack for each, of the 2 MiB that a thread
/// has.
pub const TREE_DEPTH_MAX: usize = 32;

/// Comprehensions (`map`, `filter`, `all`, …) inside each other. 2: it costs the square.
pub const LOOPS_NESTED_MAX: usize = 2;

/// Comprehensions in one expression. 8.
pub const LOOPS_MAX: usize = 8;

/// What all comprehensions of one evaluation may go through: one for each element and each byte of
/// text in it. 1,000,000.
pub const LOOP_COST_MAX: u64 = 1_000_000;

/// Size of a result, in bytes of text and 8 for each element. 1 MiB.
pub const RESULT_BYTES_MAX: usize = 1_048_576;
