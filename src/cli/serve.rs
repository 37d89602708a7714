//! `serve`: a gateway from start to drained, or to its successor.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{environment, files, log, manager};
use crate::clock::Timestamp;
use crate::config::LogFormat;
use crate::server::{self, ConfigFile, Inherited, Surroundings, Told};

pub(super) fn serve(path: &Path, surroundings: Surroundings, out: &mut dyn Write) -> anyhow::Result<()> {
    files::raise_limit();
    let mut inherited = Inherited::receive(environment)?;
    let (config, file) = ConfigFile::read(path, environment)?;
    let logging = log::start(&config.log, &surroundings)?;
    let level = logging.level();
    let clock = Arc::clone(&surroundings.clock);
    let called: Vec<_> = std::env::args_os().collect();
    runtime(config.server.threads)?.block_on(async {
        let mut running = server::take_over(&config, surroundings, &mut inherited).await?;
        let mut signals = Signals::listen()?;
        let mut announced = Announcements { out: &mut *out, format: config.log.format, at: clock.wall() };
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        for address in running.public() {
            announced.listener("public", address, &format!("doorward serves {scheme}://{address}"))?;
        }
        for address in running.redirects() {
            announced.listener("redirect", address, &format!("{address} sends on to https"))?;
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
                "there are no routes: everything but our own endpoints is denied",
            )?;
        }
        out.flush()?;
        let reloads = running.follow(file, move |told| match told {
            Told::Begins => manager::reloading(),
            Told::Ends(config) => {
                level.set(config.log.level);
                manager::ready();
            }
        });
        if inherited.serves() {
            manager::is_main();
        }
        manager::ready();
        let handed_over = loop {
            match signals.next().await {
                Order::Stop => break false,
                Order::Reload => reloads.now(),
                Order::Upgrade => {
                    let successor = tokio::select! {
                        successor = running.hand_over(&called) => successor,
                        // It is ended with what is dropped here.
                        () = signals.until_told() => break false,
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
                manager::stopping();
                running.drain().await;
            }
        };
        tokio::select! {
            () = end => {}
            () = signals.until_told() => {}
        }
        Ok(())
    })
}

/// What is printed once it serves: sentences, or with `log.format = "json"` one object a line, as in the log.
struct Announcements<'a> {
    out: &'a mut dyn Write,
    format: LogFormat,
    at: Timestamp,
}

impl Announcements<'_> {
    /// An address that is listened on.
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
    /// SIGUSR2
    Upgrade,
}

/// The signals that mean us. While this exists, none of them kills the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Begins to listen; to be done before anybody is told that we run, and may thus tell us to stop.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next order.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.upgrade.recv() => Order::Upgrade,
        }
    }

    /// Resolves when we are told to stop; what else we are told is of no use by then.
    pub(super) async fn until_told(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
