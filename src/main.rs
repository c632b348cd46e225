//! The binary: see `cli.rs` for its commands and `engine.rs` for the loop.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aqevia_engine::cli::main(std::env::args_os().skip(1)).into()
}
