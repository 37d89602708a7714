//! `completions`: what a shell needs to complete our commands.

use std::io::Write;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Generator, generate};

use super::Cli;

/// A shell that can be told.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    /// Save it as /etc/bash_completion.d/doorward.
    Bash,
    /// Save it as ~/.config/fish/completions/doorward.fish.
    Fish,
    /// Save it as _doorward in a folder of `$fpath`.
    Zsh,
}

pub(super) fn run(shell: Shell, out: &mut dyn Write) -> anyhow::Result<()> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Fish => Generator::Fish,
        Shell::Zsh => Generator::Zsh,
    };
    // Into memory first: the generator does not forgive a reader who has enough.
    let mut text = Vec::new();
    generate(generator, &mut Cli::command(), "doorward", &mut text);
    out.write_all(&text)?;
    Ok(())
}
