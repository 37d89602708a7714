//! Maximum load by wrk: each request uses the next session.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::world::Tokens;
use crate::shared::first_use::use_each_once;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scale/sessions.lua");

/// Results of one wrk run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flood {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    /// Responses of 400 and above.
    pub(crate) refused: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Parameters of a wrk run.
#[derive(Clone, Copy)]
pub(crate) struct Wrk {
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// Index of the first token.
    pub(crate) first: usize,
    pub(crate) path: &'static str,
}

/// Uses the sessions in turn at one gateway.
pub(crate) async fn flood(gateway: SocketAddr, tokens: &Tokens, how: Wrk) -> anyhow::Result<Flood> {
    let mut command = Command::new("wrk");
    command
        .args(["-t1", &format!("-c{}", how.connections), &format!("-d{}s", how.seconds)])
        .args(["-s", SCRIPT, &format!("http://{gateway}/"), "--"])
        .arg(&tokens.file)
        .args([tokens.width.to_string(), (how.first % tokens.count).to_string(), how.path.to_owned()])
        .stderr(Stdio::inherit());
    let ran = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = ran.context("cannot run wrk: install it")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().find_map(|line| line.strip_prefix("figures "));
    let figures = figures.with_context(|| format!("wrk printed no figures:\n{text}"))?;
    let figures: Vec<f64> = figures.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, micros, refused, p50, p99] = figures[..] else { anyhow::bail!("five figures:\n{text}") };
    ensure!(requests > 100.0, "too few requests to say anything:\n{text}");
    let seconds = micros / 1e6;
    Ok(Flood { requests, seconds, refused, p50_ms: p50 / 1000.0, p99_ms: p99 / 1000.0 })
}

/// Uses each of the first `count` sessions once. Requests refused because of the vault lookup limit are repeated until
/// they succeed.
pub(crate) async fn present(
    gateway: SocketAddr,
    tokens: &Tokens,
    users: usize,
    count: usize,
) -> anyhow::Result<()> {
    use_each_once(gateway, &tokens.first(users)?).await?;
    let mut done = users;
    while done < count {
        let how = Wrk { connections: 64, seconds: 2, first: done, path: "/" };
        let flood = flood(gateway, tokens, how).await?;
        ensure!(flood.refused == 0.0, "{} requests refused", flood.refused);
        // The last request of each connection may be unanswered.
        done += flood.requests as usize - 64;
    }
    Ok(())
}
