//! The capacity model of docs/capacity.md with the measured figures.

use serde_json::{Value, json};

use super::world::Report;

/// Number of sessions to plan for.
const SESSIONS: f64 = 10e6;
const REQUESTS: f64 = 1e6;
/// `tokens.access_ttl` and `sessions.idle_timeout`, in seconds.
const ACCESS_TTL: f64 = 900.0;
const IDLE_TIMEOUT: f64 = 14.0 * 86_400.0;
/// Planned utilization of a core; the rest is for peaks and for a lost machine.
const BUSY: f64 = 0.6;
/// Cores of one gateway.
const CORES: f64 = 8.0;
/// Maximum number of sessions that one gateway looks up in the vault in a second (`auth/session/lookups.rs`).
const VAULT_LOOKUPS: f64 = 12_800.0;

/// Prints the required resources, if everything the model needs was measured.
pub(crate) fn print(report: &mut Report) -> anyhow::Result<()> {
    let Some(rows) = rows(report) else { return Ok(()) };
    report.table(
        "model",
        "10 million sessions and 1 million requests/s, every session in use (docs/capacity.md has the formulas)",
        &["what", "how", "result", "unit"],
        &rows,
    )
}

/// The row of a table with these values.
fn find<'a>(report: &'a Report, name: &str, of: &[(&str, Value)]) -> Option<&'a Value> {
    let rows = report.sections.get(name)?["rows"].as_array()?;
    rows.iter().find(|row| of.iter().all(|(column, value)| row[column] == *value))
}

fn rows(report: &Report) -> Option<Vec<Vec<Value>>> {
    let from_redis =
        find(report, "threads", &[("threads", json!(1)), ("route", json!("Redis asked each time"))])?;
    let sessions =
        find(report, "sessions", &[("sessions", json!(100_000)), ("local cache", json!("1500MiB"))])?;
    let gateways = find(report, "gateways", &[("gateways", json!(8))])?;
    let of = |what: &str| find(report, "refreshes", &[("what", json!(what)), ("fsync", json!("off"))]);
    let figure = |row: &Value, name: &str| row[name].as_f64();
    let (gateway, redis) = (figure(from_redis, "gateway µs")?, figure(from_redis, "Redis µs")?);
    let known = (figure(sessions, "MiB with all seen")? - figure(sessions, "gateway MiB before")?)
        * 1_048_576.0
        / 100_000.0;
    let (in_redis, in_postgres) =
        (figure(sessions, "Redis bytes each")?, figure(sessions, "Postgres bytes each")?);
    let (refresh, login) =
        (figure(of("gateway")?, "Postgres µs")?, figure(of("login (vault trait)")?, "Postgres µs")?);
    let at_gateway = figure(of("gateway")?, "gateway µs")?;
    let sight = figure(of("session unknown to Redis (vault trait)")?, "Postgres µs")?;
    let idle = figure(gateways, "Postgres ms/s")? / 8.0;
    let cores = |a_second: f64, micros: f64| a_second * micros / 1e6 / BUSY;
    let count = (cores(REQUESTS, gateway) / CORES).ceil();
    let (refreshes, logins) = (SESSIONS / ACCESS_TTL, SESSIONS / IDLE_TIMEOUT);
    let row = |what: &str, how: String, result: f64, unit: &str| {
        vec![json!(what), json!(how), json!(result), json!(unit)]
    };
    Some(vec![
        row("gateway cores", format!("1e6/s x {gateway:.1} µs / {BUSY}"), cores(REQUESTS, gateway), "cores"),
        row("gateways", format!("of {CORES} cores"), count, "processes"),
        row(
            "memory of a gateway",
            format!("10e6 / {count} x {known:.0} B"),
            SESSIONS / count * known / 1e9,
            "GB",
        ),
        row("Redis cores", format!("1e6/s x {redis:.2} µs / {BUSY}"), cores(REQUESTS, redis), "cores"),
        row("Redis memory", format!("10e6 x {in_redis:.0} B"), SESSIONS * in_redis / 1e9, "GB"),
        row("refreshes", format!("10e6 / {ACCESS_TTL} s"), refreshes, "a second"),
        row(
            "gateways for refreshes",
            format!("x {at_gateway:.0} µs / {BUSY}"),
            cores(refreshes, at_gateway),
            "cores more",
        ),
        row(
            "Postgres for refreshes",
            format!("x {refresh:.0} µs / {BUSY}"),
            cores(refreshes, refresh),
            "cores",
        ),
        row("logins", "10e6 / 14 d".to_owned(), logins, "a second"),
        row("Postgres for logins", format!("x {login:.0} µs / {BUSY}"), cores(logins, login), "cores"),
        row(
            "Postgres for followers",
            format!("{count} x {idle:.2} ms/s / {BUSY}"),
            count * idle / 1000.0 / BUSY,
            "cores",
        ),
        row("Postgres tables", format!("10e6 x {in_postgres:.0} B"), SESSIONS * in_postgres / 1e9, "GB"),
        row(
            "a gateway that starts while Redis is empty knows all after",
            format!("10e6 / {count} / {VAULT_LOOKUPS} a second"),
            SESSIONS / count / VAULT_LOOKUPS,
            "s, from Postgres",
        ),
        row(
            "Postgres meanwhile, for each such gateway",
            format!("{VAULT_LOOKUPS}/s x {sight:.0} µs"),
            VAULT_LOOKUPS * sight / 1e6,
            "cores",
        ),
    ])
}
