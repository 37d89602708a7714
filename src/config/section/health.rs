//! `[upstreams.<name>.health]`: when a server is put last, and whether it is asked how it is.

use std::time::Duration;

use http::uri::PathAndQuery;

use crate::config::parse::hint::quoted;
use crate::config::parse::origin::{Origin, WEB};
use crate::config::parse::reader::Table;
use crate::config::parse::units::show_duration;

/// `[upstreams.<name>.health]`; every upstream has one, whether the table is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Active checks; none without the table.
    pub checks: Option<Checks>,
    /// How many failures in a row put an address last; 0 = never.
    pub eject_after: EjectAfter,
    /// For how long, the first time.
    pub base_ejection_time: Duration,
    /// Doubled up to this while it goes on failing.
    pub max_ejection_time: Duration,
}

/// Failures in a row, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectAfter {
    /// Connects that failed.
    pub connects: u32,
    /// Answers that did not come in time.
    pub timeouts: u32,
    /// Answers that say the app is not there: 502, 503, 504, or none on a connection that was made.
    pub responses: u32,
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// What is asked for; without it a connect is enough.
    pub path: Option<String>,
    /// The `Host` it is asked with; without it, the server's own name.
    pub host: Option<String>,
    /// The statuses of a good answer; empty = 200 to 399.
    pub statuses: Vec<u16>,
    /// From one check of an address to its next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Good checks in a row that bring an address back.
    pub healthy_after: u32,
    /// Failed checks in a row that put an address last.
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
    /// Whether an answer with this status is a good one.
    pub fn expects(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..400).contains(&status) } else { self.statuses.contains(&status) }
    }
}

/// The shortest time between two checks of an address that is not a load of its own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Reads the table.
pub(crate) fn health(table: Table<'_>) -> Health {
    let default = Health::default();
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let health = Health {
        checks: checks(&table),
        eject_after: eject_after(table.table("eject_after"), default.eject_after),
        base_ejection_time: duration(
            "base_ejection_time",
            Duration::from_millis(100)..=Duration::from_hours(1),
            "a restart takes seconds, and what is well again should be found",
        )
        .unwrap_or(default.base_ejection_time),
        max_ejection_time: duration(
            "max_ejection_time",
            Duration::from_millis(100)..=Duration::from_hours(24),
            "what is well again should be found within a day",
        )
        .unwrap_or(default.max_ejection_time),
    };
    let (first, most) = (table.place_of("base_ejection_time"), table.place_of("max_ejection_time"));
    if health.base_ejection_time > health.max_ejection_time
        && let Some(place) = first.with(&most)
    {
        place.problem(format!(
            "base_ejection_time is {}, more than the {} of max_ejection_time, to which it is doubled: lower base_ejection_time, or raise \
             max_ejection_time",
            show_duration(health.base_ejection_time),
            show_duration(health.max_ejection_time)
        ));
    }
    table.finish();
    health
}

/// The active checks of a table that may not be there.
fn checks(table: &Table<'_>) -> Option<Checks> {
    let default = Checks::default();
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let count = |name| {
        table.value(name).and_then(|value| value.count(1..=100, "0 decides nothing, 100 decides too late"))
    };
    let checks = Checks {
        path: table.value("path").and_then(|value| value.parsed(path)),
        host: table.value("host").and_then(|value| value.parsed(host)),
        statuses: statuses(table).unwrap_or_default(),
        interval: duration(
            "interval",
            Duration::ZERO..=Duration::from_hours(1),
            "0s is no checks; what fails should be noticed within the hour",
        )
        .unwrap_or(default.interval),
        timeout: duration(
            "timeout",
            Duration::from_millis(10)..=Duration::from_mins(1),
            "a near network needs 10ms, and what takes a minute is not well",
        )
        .unwrap_or(default.timeout),
        healthy_after: count("healthy_after").unwrap_or(default.healthy_after),
        unhealthy_after: count("unhealthy_after").unwrap_or(default.unhealthy_after),
    };
    let interval = table.place_of("interval");
    if !checks.interval.is_zero() && checks.interval < SHORTEST_INTERVAL {
        interval.problem(format!(
            "{} would be a load of its own: write at least \"{}\", or \"0s\" for no checks",
            quoted(&show_duration(checks.interval)),
            show_duration(SHORTEST_INTERVAL)
        ));
    } else if !checks.interval.is_zero()
        && checks.timeout > checks.interval
        && let Some(place) = table.place_of("timeout").with(&interval)
    {
        place.problem(format!(
            "timeout is {}, more than the {} of interval, so one check would run into the next: lower timeout, or \
             raise interval",
            show_duration(checks.timeout),
            show_duration(checks.interval)
        ));
    }
    for name in ["host", "status"] {
        if table.has(name) && !table.has("path") {
            table.place_of(name).problem(
                "without `path` only a connect is made, and this means nothing: add `path`, or take this out",
            );
        }
    }
    (table.is_written() && !checks.interval.is_zero()).then_some(checks)
}

fn eject_after(table: Table<'_>, default: EjectAfter) -> EjectAfter {
    let count = |name| {
        table.value(name).and_then(|value| value.count(0..=1000, "0 is never; 1000 is beyond any patience"))
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
        let status = item.count(200..=599, "HTTP has no others for an answer (RFC 9110 15)")?;
        u16::try_from(status).ok()
    })?;
    if statuses.is_empty() && !value.place().is_flawed() {
        value.place().problem("empty, so no answer would be good: write those that are, such as [200, 204]");
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
