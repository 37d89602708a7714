//! `[upstreams.<name>.health]`: outlier detection and active health checks.

use std::time::Duration;

use http::uri::PathAndQuery;

use crate::config::parse::hint::quoted;
use crate::config::parse::origin::{Origin, WEB};
use crate::config::parse::reader::Table;
use crate::config::parse::units::show_duration;

/// `[upstreams.<name>.health]`; every upstream has one, even without the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Active health checks; `None` without the table.
    pub checks: Option<Checks>,
    /// Consecutive failures after which an address is ejected; 0 = never.
    pub eject_after: EjectAfter,
    /// Duration of the first ejection.
    pub base_ejection_time: Duration,
    /// Maximum duration of an ejection, which doubles while the address keeps failing.
    pub max_ejection_time: Duration,
}

/// Number of consecutive failures of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectAfter {
    /// Failed connects.
    pub connects: u32,
    /// Response timeouts.
    pub timeouts: u32,
    /// Responses that mean the app is unavailable: 502, 503, 504, or none on an established connection.
    pub responses: u32,
}

/// Active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Request target of the check; without it a connect is enough.
    pub path: Option<String>,
    /// `Host` of the check; without it, the server's own name.
    pub host: Option<String>,
    /// Statuses that count as success; empty = 200 to 399.
    pub statuses: Vec<u16>,
    /// Interval between two checks of an address.
    pub interval: Duration,
    /// Timeout of a check.
    pub timeout: Duration,
    /// Consecutive successful checks after which an address is healthy again.
    pub healthy_after: u32,
    /// Consecutive failed checks after which an address is ejected.
    pub unhealthy_after: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            checks: None,
            eject_after: EjectAfter { connects: 3, timeouts: 3, responses: 5 },
            base_ejection_time: Duration::from_secs(10),
            max_ejection_time: Duration::from_mins(5),
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            path: None,
            host: None,
            statuses: Vec::new(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

impl Checks {
    /// Returns whether a response with this status counts as success.
    pub fn expects(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..400).contains(&status) } else { self.statuses.contains(&status) }
    }
}

/// Minimum interval between two checks of an address. More frequent checks would be a load of their own.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Reads `[upstreams.<name>.health]`.
pub(crate) fn health(table: Table<'_>) -> Health {
    let default = Health::default();
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let health = Health {
        checks: checks(&table),
        eject_after: eject_after(table.table("eject_after"), default.eject_after),
        base_ejection_time: duration(
            "base_ejection_time",
            Duration::from_millis(100)..=Duration::from_hours(1),
            "a restart takes seconds, and a recovered server should be used again",
        )
        .unwrap_or(default.base_ejection_time),
        max_ejection_time: duration(
            "max_ejection_time",
            Duration::from_millis(100)..=Duration::from_hours(24),
            "a recovered server should be used again within a day",
        )
        .unwrap_or(default.max_ejection_time),
    };
    let (base, max) = (table.location_of("base_ejection_time"), table.location_of("max_ejection_time"));
    if health.base_ejection_time > health.max_ejection_time
        && let Some(location) = base.with(&max)
    {
        location.problem(format!(
            "base_ejection_time is {}, more than the {} of max_ejection_time, the limit of its doubling: lower base_ejection_time, or raise \
             max_ejection_time",
            show_duration(health.base_ejection_time),
            show_duration(health.max_ejection_time)
        ));
    }
    table.finish();
    health
}

/// Reads the active checks of a table that may be absent.
fn checks(table: &Table<'_>) -> Option<Checks> {
    let default = Checks::default();
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let count = |name| {
        table
            .value(name)
            .and_then(|value| value.count(1..=100, "0 would never decide, more than 100 too late"))
    };
    let checks = Checks {
        path: table.value("path").and_then(|value| value.parsed(path)),
        host: table.value("host").and_then(|value| value.parsed(host)),
        statuses: statuses(table).unwrap_or_default(),
        interval: duration(
            "interval",
            Duration::ZERO..=Duration::from_hours(1),
            "0s disables checks; a failure should be noticed within the hour",
        )
        .unwrap_or(default.interval),
        timeout: duration(
            "timeout",
            Duration::from_millis(10)..=Duration::from_mins(1),
            "a local network needs 10ms, and a server that takes a minute is not healthy",
        )
        .unwrap_or(default.timeout),
        healthy_after: count("healthy_after").unwrap_or(default.healthy_after),
        unhealthy_after: count("unhealthy_after").unwrap_or(default.unhealthy_after),
    };
    let interval = table.location_of("interval");
    if !checks.interval.is_zero() && checks.interval < MIN_INTERVAL {
        interval.problem(format!(
            "{} would put too much load on the server: write at least \"{}\", or \"0s\" for no checks",
            quoted(&show_duration(checks.interval)),
            show_duration(MIN_INTERVAL)
        ));
    } else if !checks.interval.is_zero()
        && checks.timeout > checks.interval
        && let Some(location) = table.location_of("timeout").with(&interval)
    {
        location.problem(format!(
            "timeout is {}, more than the {} of interval, so checks would overlap: lower timeout, or \
             raise interval",
            show_duration(checks.timeout),
            show_duration(checks.interval)
        ));
    }
    for name in ["host", "status"] {
        if table.has(name) && !table.has("path") {
            table.location_of(name).problem(
                "without `path` the check is only a connect, and this has no effect: add `path`, or remove this",
            );
        }
    }
    (table.is_written() && !checks.interval.is_zero()).then_some(checks)
}

fn eject_after(table: Table<'_>, default: EjectAfter) -> EjectAfter {
    let count = |name| {
        table
            .value(name)
            .and_then(|value| value.count(0..=1000, "0 is never; more than 1000 would hardly ever eject"))
    };
    let after = EjectAfter {
        connects: count("connects").unwrap_or(default.connects),
        timeouts: count("timeouts").unwrap_or(default.timeouts),
        responses: count("responses").unwrap_or(default.responses),
    };
    table.finish();
    after
}

fn statuses(table: &Table<'_>) -> Option<Vec<u16>> {
    let value = table.value("status")?;
    let statuses = value.list("[200, 204]", |item| {
        let status = item.count(200..=599, "a response has no others (RFC 9110 15)")?;
        u16::try_from(status).ok()
    })?;
    if statuses.is_empty() && !value.location().has_problem() {
        value
            .location()
            .problem("empty, so every check would fail: write the good statuses, such as [200, 204]");
    }
    Some(statuses)
}

fn path(text: &str) -> Result<String, String> {
    let is_target = text.starts_with('/') && !text.contains('#') && text.parse::<PathAndQuery>().is_ok();
    if is_target && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not a path: write one such as \"/healthz\"", quoted(text)))
}

fn host(text: &str) -> Result<String, String> {
    match Origin::parse(&format!("http://{text}"), WEB) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "{} is not a host: write a name such as app.example.com, with its port where the app needs it",
            quoted(text)
        )),
    }
}
