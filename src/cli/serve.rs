//! `serve`: a gateway from start to drained.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{environment, log};
use crate::server::{self, ConfigFile, Surroundings, Told};

pub(super) fn serve(path: &Path, surroundings: Surroundings, out: &mut dyn Write) -> anyhow::Result<()> {
    let (config, file) = ConfigFile::read(path, environment)?;
    let logging = log::start(&config.log);
    runtime(config.server.threads)?.block_on(async {
        let mut running = server::start(&config, surroundings).await?;
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
        let reloads = running.follow(file, move |told| match told {
            Told::Begins => {}
            Told::Ends(config) => logging.set_level(config.log.level),
        });
        while signals.next().await == Order::Reload {
            reloads.now();
        }
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

/// What we are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM, SIGINT
    Stop,
    /// SIGHUP
    Reload,
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

    /// The next order.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// Resolves when we are told to stop; what else we are told is of no use by then.
    pub(super) async fn until_told(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
