//! Shell completions and the systemd service file.

use std::time::Duration;

use clap::Parser as _;
use doorward::cli::Cli;
use doorward::config::Config;

use crate::house::doorward;
use crate::process;

#[test]
fn completions_cover_every_command_and_option() {
    for (shell, begins) in [("bash", "_doorward()"), ("fish", "# Print"), ("zsh", "#compdef doorward")] {
        let script = process::run(doorward().args(["completions", shell]), "").good();
        assert!(script.trim_start().starts_with(begins), "{shell}: {}", &script[..80]);
        for word in ["serve", "revoke", "password-stdin", "config"] {
            assert!(script.contains(word), "{shell} does not know `{word}`");
        }
    }
}

#[test]
fn bash_accepts_the_completions() {
    let script = process::run(doorward().args(["completions", "bash"]), "").good();
    let ask = "COMP_WORDS=(doorward session re); COMP_CWORD=2; _doorward doorward re session; echo \"${COMPREPLY[@]}\"";
    let done = process::run(std::process::Command::new("bash").arg("-c").arg(format!("{script}\n{ask}")), "");
    assert_eq!(done.good().trim(), "revoke");
}

/// Values of a key of the service file.
fn of(key: &str) -> Vec<&'static str> {
    let file = include_str!("../../../packaging/doorward.service");
    file.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn span(key: &str) -> Duration {
    humantime::parse_duration(of(key)[0]).expect("a time")
}

#[test]
fn service_file_matches_the_program() {
    let words: Vec<_> = of("ExecStart")[0].split(' ').collect();
    assert!(Cli::try_parse_from(&words).is_ok(), "{words:?}");
    assert_eq!(
        (of("Type"), of("NotifyAccess")),
        (vec!["notify"], vec!["all"]),
        "the new process of an upgrade tells"
    );
    let defaults = Config::parse("", std::path::Path::new("gateway.toml"), &|_| None).expect("the defaults");
    assert!(span("TimeoutStopSec") > defaults.server.lameduck + defaults.server.drain_timeout);
    assert!(span("TimeoutStartSec") > Duration::from_secs(60), "the first load of the log");
    let files: usize = of("LimitNOFILE")[0].parse().expect("a number");
    assert!(
        files > 2 * defaults.server.limits.connections,
        "a connection is one to the client and one to the app"
    );
}
