//! The `doorward` program.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

/// A request allocates some forty times, mostly in the transport: the system's allocator took a fifth of its instructions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = doorward::cli::Cli::parse();
    match doorward::cli::run(&cli, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough of it.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "doorward: {error:#}");
            ExitCode::FAILURE
        }
    }
}
