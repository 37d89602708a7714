//! `serve`: runs a gateway until it is drained or has handed over to its successor.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{environment, files, log, sd_notify};
use crate::clock::Timestamp;
use crate::config::LogFormat;
use crate::server::{self, ConfigFile, Inherited, ReloadEvent, Surroundings};

pub(super) fn serve(path: &Path, surroundings: Surroundings, out: &mut dyn Write) -> anyhow::Result<()> {
    files::raise_limit();
    let mut inherited = Inherited::receive(environment)?;
    let (config, file) = ConfigFile::read(path, environment)?;
    let logging = log::start(&config.log, &surroundings)?;
    let level = logging.level();
    let clock = Arc::clone(&surroundings.clock);
    let called: Vec<_> = std::env::args_os().collect();
    runtime(config.server.threads)?.block_on(async {
        let mut signals = Signals::listen()?;
        let starting = server::take_over(&config, surroundings, &mut inherited);
        let Some(mut running) = signals.unless_stopped(starting).await.transpose()? else { return Ok(()) };
        let mut announced = Announcements { out: &mut *out, format: config.log.format, at: clock.wall() };
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        for address in running.public() {
            announced.listener("public", address, &format!("doorward serves {scheme}://{address}"))?;
        }
        for address in running.redirects() {
            announced.listener("redirect", address, &format!("{address} redirects to https"))?;
        }
        for address in running.admin() {
            announced.listener("admin", address, &format!("metrics and health on {address}"))?;
        }
        for path in running.unix() {
            let address = format!("unix:{}", path.display());
            announced.listener("public", &address, &format!("doorward serves {scheme} on {address}"))?;
        }
        if config.routes.is_empty() {
            announced.line(
                "no_routes",
                &[],
                "there are no routes: all requests except to the gateway's own endpoints are denied",
            )?;
        }
        out.flush()?;
        let reloads = running.follow(file, move |event| match event {
            ReloadEvent::Started => sd_notify::reloading(),
            ReloadEvent::Ended(config) => {
                level.set(config.log.level);
                sd_notify::ready();
            }
        });
        if inherited.serves() {
            sd_notify::is_main();
        }
        sd_notify::ready();
        let handed_over = loop {
            match signals.next().await {
                Order::Stop => break false,
                Order::Reload => reloads.now(),
                Order::Upgrade => {
                    let successor = tokio::select! {
                        successor = running.hand_over(&called) => successor,
                        // Dropping the hand-over ends the successor.
                        () = signals.stop_requested() => break false,
                    };
                    if successor.is_ok() {
                        break true;
                    }
                }
            }
        };
        let end = async {
            if handed_over {
                running.retire().await;
            } else {
                sd_notify::stopping();
                running.drain().await;
            }
        };
        tokio::select! {
            () = end => {}
            () = signals.stop_requested() => {}
        }
        Ok(())
    })
}

/// Messages printed once the gateway serves: sentences, or with `log.format = "json"` one object per line, as in the
/// log.
struct Announcements<'a> {
    out: &'a mut dyn Write,
    format: LogFormat,
    at: Timestamp,
}

impl Announcements<'_> {
    /// Reports a listen address.
    fn listener(&mut self, listener: &str, address: &dyn Display, message: &str) -> std::io::Result<()> {
        self.line("listening", &[("listener", listener), ("address", &address.to_string())], message)
    }

    fn line(&mut self, reason: &str, fields: &[(&str, &str)], message: &str) -> std::io::Result<()> {
        if self.format == LogFormat::Text {
            return writeln!(self.out, "{message}");
        }
        let mut line = serde_json::Map::new();
        let at = self.at.precise().to_string();
        let first = [("timestamp", at.as_str()), ("level", "INFO"), ("reason", reason)];
        for (name, value) in
            first.iter().chain(fields).chain(&[("message", message), ("target", module_path!())])
        {
            line.insert((*name).to_owned(), (*value).into());
        }
        writeln!(self.out, "{}", serde_json::Value::Object(line))
    }
}

/// Builds one work-stealing runtime for everything; 0 = one worker per core.
pub(super) fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("doorward").build().context("cannot start the runtime")
}

/// Action requested by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM, SIGINT
    Stop,
    /// SIGHUP
    Reload,
    /// SIGUSR2
    Upgrade,
}

/// Handled signals. While this exists, none of them kills the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Starts handling signals. Must be called before anything is started: until then each of them kills the process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns the next requested action.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.upgrade.recv() => Order::Upgrade,
        }
    }

    /// Waits for the start of a gateway; `None` when the process is to stop before. A reload or an upgrade says nothing yet.
    pub(super) async fn unless_stopped<T>(&mut self, start: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            started = start => Some(started),
            () = self.stop_requested() => None,
        }
    }

    /// Waits for a request to stop; other signals are ignored by then.
    pub(super) async fn stop_requested(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
