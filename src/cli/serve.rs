//! `serve`: a gateway from start to drained.

use std::io::Write;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log;
use crate::config::Config;
use crate::server::{self, Surroundings};

pub(super) fn serve(config: &Config, surroundings: Surroundings, out: &mut dyn Write) -> anyhow::Result<()> {
    log::start(&config.log);
    runtime(config.server.threads)?.block_on(async {
        let running = server::start(config, surroundings).await?;
        let mut signals = Signals::listen()?;
        for address in running.public() {
            writeln!(out, "doorward serves {address}")?;
        }
        for address in running.admin() {
            writeln!(out, "metrics and health on {address}")?;
        }
        if config.routes.is_empty() {
            writeln!(out, "there are no routes: everything but our own endpoints is denied")?;
        }
        out.flush()?;
        signals.until_told().await;
        tokio::select! {
            () = running.drain() => {}
            () = signals.until_told() => {}
        }
        Ok(())
    })
}

/// One work-stealing runtime for everything; 0 = a worker per core.
pub(super) fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("doorward").build().context("cannot start the runtime")
}

/// The signals that mean us. While this exists, none of them kills the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen; to be done before anybody is told that we run, and may thus tell us to stop.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves on SIGTERM or SIGINT. SIGHUP, which would end the process by default, is told what to do instead.
    pub(super) async fn until_told(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => tracing::warn!(reason = "sighup", "restart to apply a changed configuration"),
            }
        }
    }
}
