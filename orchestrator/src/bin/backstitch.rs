//! The `backstitch` command: see [`backstitch_orchestrator::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    backstitch_orchestrator::cli::main()
}
