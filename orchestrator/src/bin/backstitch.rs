//! The `backstitch` command: see [`backstitch_orchestrator::cli`].

use std::process::ExitCode;

/// Batches are made on one thread and freed on another; the system's allocator pays for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    backstitch_orchestrator::cli::main()
}
