//! The `doorward` program.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

/// A request makes some forty allocations, mostly in the transport; the system's allocator took a fifth of its
/// instructions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = doorward::cli::Cli::parse();
    match doorward::cli::run(&cli, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has closed the pipe.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Standard error may be closed; then the message is lost.
            let _ = writeln!(io::stderr(), "doorward: {error:#}");
            ExitCode::FAILURE
        }
    }
}
