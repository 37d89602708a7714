//! Checks the rules, their tests and a real scrape with promtool.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rules::RULES;
use crate::support::TestGateway;

/// Runs promtool in the repository folder. Returns its output on success.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("`promtool` does not run ({error}): `make test` installs it (Debian: prometheus)")
    });
    // The process may end without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    let output_text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{output_text}");
    output_text
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", RULES], "");
}

#[test]
fn every_alert_fires_on_time_and_clears() {
    promtool(&["test", "rules", "tests/prometheus/alerts_test.yaml"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrape_output_passes_promtool() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    let scrape = gateway.probe("/metrics").await.text();
    assert_eq!(promtool(&["check", "metrics"], &scrape), "");
}
