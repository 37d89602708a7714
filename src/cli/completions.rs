//! `completions`: prints completion scripts for shells.

use std::io::Write;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Generator, generate};

use super::Cli;

/// A supported shell.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    /// Save it as /etc/bash_completion.d/doorward.
    Bash,
    /// Save it as ~/.config/fish/completions/doorward.fish.
    Fish,
    /// Save it as _doorward in a directory of `$fpath`.
    Zsh,
}

pub(super) fn run(shell: Shell, out: &mut dyn Write) -> anyhow::Result<()> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Fish => Generator::Fish,
        Shell::Zsh => Generator::Zsh,
    };
    // Into memory first: the generator panics if the reader closes the pipe.
    let mut text = Vec::new();
    generate(generator, &mut Cli::command(), "doorward", &mut text);
    out.write_all(&text)?;
    Ok(())
}
