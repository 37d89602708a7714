//! `provider`: lists the identity providers, and tests the connection to one.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::table;
use crate::config::{Config, Preset, Provider as Settings, ProviderId};
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundError};
use crate::provider::{ClockDifference, Endpoint, Provider, ProviderError, Report};
use crate::server::Surroundings;

/// Difference between the clocks above which tokens are refused.
const LEEWAY: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the identity providers in the order of their buttons.
    List {
        #[command(flatten)]
        format: table::Format,
    },
    /// Connect to an identity provider; prints what to register there, its endpoints, and what does not fit.
    Test {
        /// Name of the provider: `id` in gateway.toml.
        id: ProviderId,
    },
}

/// Sections of the configuration that these commands read.
pub(super) const NEEDS: &[&str] = &["server", "providers"];

pub(super) async fn run(
    config: &Config,
    surroundings: &Surroundings,
    command: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        Command::List { format } => list(config, *format, out),
        Command::Test { id } => test(config, surroundings, find(config, id)?, out).await,
    }
}

/// Returns the settings of a provider.
pub(super) fn find<'a>(config: &'a Config, id: &ProviderId) -> anyhow::Result<&'a Settings> {
    let found = config.providers.iter().find(|provider| provider.id == *id);
    found.with_context(|| format!("there is no provider `{id}`: `doorward provider list` shows them"))
}

fn list(config: &Config, format: table::Format, out: &mut dyn Write) -> anyhow::Result<()> {
    if format.json {
        let mut array = table::JsonArray::default();
        for provider in &config.providers {
            let Settings { id, preset, issuer, label, .. } = provider;
            array.push(
                &json!({ "id": id.as_str(), "preset": preset.as_str(), "issuer": issuer, "label": label }),
                out,
            )?;
        }
        return Ok(array.end(out)?);
    }
    if config.providers.is_empty() {
        writeln!(out, "there are no providers: add [[providers]] to the configuration")?;
    }
    let row = |provider: &Settings| {
        let Settings { id, preset, issuer, label, .. } = provider;
        vec![id.to_string(), preset.as_str().to_owned(), issuer.clone(), label.clone()]
    };
    let rows: Vec<Vec<String>> = config.providers.iter().map(row).collect();
    table::print(&["NAME", "PRESET", "ISSUER", "LABEL"], &rows, out)
}

async fn test(
    config: &Config,
    surroundings: &Surroundings,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let lines = |rows: &[(&str, String)], out: &mut dyn Write| {
        rows.iter().try_for_each(|(name, value)| writeln!(out, "{name:<22}{value}"))
    };
    lines(&registration(config, settings), out)?;
    out.flush()?;
    let (clock, random) = (Arc::clone(&surroundings.clock), Arc::clone(&surroundings.random));
    let outbound = Outbound::new(&super::environment, Arc::clone(&clock), Arc::new(Metrics::new()));
    let provider = Provider::new(settings.clone(), &outbound, clock, random)?;
    let report = match provider.test().await {
        Ok(report) => report,
        Err(error) => {
            let advice = advice(&error).map_or_else(String::new, |advice| format!(": {advice}"));
            anyhow::bail!("the provider `{}`, from {}: {error}{advice}", settings.id, settings.issuer);
        }
    };
    lines(&endpoints(&report), out)?;
    for problem in problems(settings, &report) {
        writeln!(out, "warning: {problem}")?;
    }
    anyhow::ensure!(
        report.jwks_uri.is_none() || report.usable_keys > 0,
        "none of the provider's keys fits `algorithms`: nobody can sign in"
    );
    Ok(())
}

/// Returns what to do about a failure whose message does not say it.
fn advice(error: &ProviderError) -> Option<&'static str> {
    Some(match error {
        ProviderError::Away(endpoint, error) => match error {
            OutboundError::Unreachable(_) | OutboundError::Timeout => {
                "check the host and the port of issuer, and whether this machine may connect to it (firewall, HTTPS_PROXY, \
                 NO_PROXY)"
            }
            OutboundError::Tls(_) => {
                "the certificate must be of a CA that this machine trusts, or of one in ca_file, and of the host in issuer; \
                 and the port must speak TLS"
            }
            OutboundError::Refused { .. } => "add the host to private_hosts if it is yours",
            OutboundError::Status(300..=399) => {
                "redirects are not followed: write the issuer of the server that it leads to"
            }
            OutboundError::Status(500..=599) => "the provider has a failure of its own: look there",
            OutboundError::Status(_) | OutboundError::TooLarge(_) | OutboundError::Malformed(_)
                if *endpoint == Endpoint::Discovery =>
            {
                NO_ISSUER
            }
            _ => return None,
        },
        ProviderError::Malformed(Endpoint::Discovery, _) => NO_ISSUER,
        _ => return None,
    })
}

const NO_ISSUER: &str = "most likely this is not the issuer: copy it from the provider, with its whole path";

/// Addresses to fill in at the provider. Google and GitHub have no back-channel logout.
fn registration(config: &Config, settings: &Settings) -> Vec<(&'static str, String)> {
    let server = &config.server;
    let at = |url: &str, step: &str| format!("{url}{}/providers/{}/{step}", server.auth_prefix, settings.id);
    let mut rows: Vec<_> =
        server.public_urls.iter().map(|url| ("redirect address", at(url, "callback"))).collect();
    if settings.logout {
        rows.extend(server.public_urls.iter().map(|url| ("sign-out address", at(url, "signed-out"))));
    }
    if !matches!(settings.preset, Preset::Google | Preset::GitHub) {
        let first = server.public_urls.first();
        rows.extend(first.map(|url| ("back-channel logout", at(url, "backchannel-logout"))));
    }
    rows
}

fn endpoints(report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("issuer", report.issuer.clone()),
        ("authorization", report.authorization_endpoint.clone()),
        ("token", report.token_endpoint.clone()),
    ];
    rows.extend(report.userinfo_endpoint.clone().map(|url| ("user information", url)));
    rows.extend(
        report.jwks_uri.clone().map(|url| ("keys", format!("{url} ({} usable)", report.usable_keys))),
    );
    rows.extend(report.end_session_endpoint.clone().map(|url| ("sign-out", url)));
    if report.jwks_uri.is_some() {
        let accepted: Vec<&str> =
            report.accepted_algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let announced = report.announced_algorithms.join(", ");
        rows.push(("algorithms", format!("announced {announced}; accepted {}", accepted.join(", "))));
    }
    rows.extend(report.clock.map(|difference| {
        let text = match difference {
            ClockDifference::Ahead(span) => format!("{} s ahead of this machine", span.as_secs()),
            ClockDifference::Behind(span) => format!("{} s behind this machine", span.as_secs()),
        };
        ("clock", text)
    }));
    rows
}

fn problems(settings: &Settings, report: &Report) -> Vec<String> {
    let mut problems = Vec::new();
    let difference = report.clock.map(|(ClockDifference::Ahead(span) | ClockDifference::Behind(span))| span);
    if difference.is_some_and(|span| span > LEEWAY) {
        problems
            .push("the clocks differ by more than 60 s: tokens are refused. Correct the clocks".to_owned());
    }
    if !report.unknown_scopes.is_empty() {
        let scopes = report.unknown_scopes.join(", ");
        problems.push(format!("the provider does not announce these scopes: {scopes}"));
    }
    if !report.announces_pkce {
        problems.push("the provider does not announce PKCE with S256; it is sent all the same".to_owned());
    }
    if settings.logout && report.end_session_endpoint.is_none() {
        problems.push("logout = true, and the provider has no address for a sign-out".to_owned());
    }
    if report.jwks_uri.is_some() && !report.has_backchannel_logout {
        problems.push(
            "the provider does not announce back-channel logout: people removed there lose access at the next \
             recheck"
                .to_owned(),
        );
    }
    problems
}
