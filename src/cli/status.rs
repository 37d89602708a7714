//! `status`: queries the running gateway and prints its health, problems first.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http::header;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use serde_json::Value;

use crate::config::{Config, ListenAddress};

/// Timeout of the query. A healthy gateway responds within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);
const DAY: i64 = 86_400;
/// Remaining lifetime by which a certificate should be renewed, as in the alert DoorwardCertificateEndsInWeeks.
const RENEWAL_DUE: i64 = 14 * DAY;
/// Age in seconds at which a waiting mail is a problem: ten minutes are the longest wait between attempts.
const MAIL_IS_LATE: i64 = 15 * 60;
/// Maximum length of the response. An address of an app takes about 300 bytes.
const MAX_RESPONSE: usize = 8 << 20;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print the gateway's response as JSON.
    #[arg(long)]
    json: bool,
    /// Address of the admin listener, if it differs from the configuration.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

/// Queries the gateway and prints its status. Returns an error if it is not ready.
pub(super) async fn run(config: &Config, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(token) = &config.admin.token else {
        bail!(
            "admin.token_file is not set, so the gateway has no status endpoint: create a token (openssl rand -base64 \
             32 > admin.token) and write `token_file = \"admin.token\"` under [admin]"
        );
    };
    let address = match options.address {
        Some(address) => address,
        None => local_address(config)?,
    };
    let (code, body) = tokio::time::timeout(TIMEOUT, query(address, token.expose()))
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", TIMEOUT.as_secs()))
        .and_then(|response| response.map_err(plain))
        .with_context(|| format!("no gateway answers on {address} (admin.listen): is it running?"))?;
    match code {
        200 => {}
        401 => bail!(
            "the gateway on {address} rejects this admin.token: check whether it was started with another file, or \
             whether the change needs a reload (systemctl reload doorward)"
        ),
        404 => bail!("the gateway on {address} has no admin.token: start or reload it with this file"),
        other => bail!("{address} answered {other}: is it a gateway of this version?"),
    }
    let status: Value =
        serde_json::from_slice(&body).with_context(|| format!("{address} is not a gateway"))?;
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(out, "{}", page(&status))?;
    }
    out.flush()?;
    match status["ready"].as_bool() {
        Some(true) => Ok(()),
        _ => bail!("the gateway is not ready: {}", text(&status["why"])),
    }
}

/// Returns the cause of an error without the layers of the HTTP client.
fn plain(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Box<pingora::Error>>() {
        Ok(failed) => {
            let said = failed.to_string();
            anyhow::anyhow!("{}", said.rsplit("cause: ").next().unwrap_or(&said).trim().to_owned())
        }
        Err(other) => other,
    }
}

/// Returns the first admin address, as reachable from this machine.
fn local_address(config: &Config) -> anyhow::Result<SocketAddr> {
    let Some(mut address) = config.admin.listen.iter().find_map(ListenAddress::tcp) else {
        bail!("admin.listen has no TCP address: add one for operators");
    };
    if address.port() == 0 {
        bail!(
            "admin.listen has port 0, so the port is known only from the gateway's output: use --address \
             127.0.0.1:<port>"
        );
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

async fn query(address: SocketAddr, token: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let connector = Connector::new(None);
    let (mut session, _) = connector.get_http_session(&HttpPeer::new(address, false, String::new())).await?;
    let mut request = RequestHeader::build("GET", b"/admin/status", Some(3))?;
    request.insert_header(header::HOST, address.to_string())?;
    request.insert_header(header::AUTHORIZATION, format!("Bearer {token}"))?;
    request.insert_header(header::CONNECTION, "close")?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map_or(0, |response| response.status.as_u16());
    let mut body = Vec::new();
    while let Some(chunk) = session.read_response_body().await? {
        if body.len() + chunk.len() > MAX_RESPONSE {
            bail!("the response is too long for a gateway");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Formats the status for people: problems first, then the details.
fn page(status: &Value) -> String {
    let mut page = String::new();
    for problem in problems(status) {
        let _ = writeln!(page, "! {problem}");
    }
    let ready = if status["ready"] == true { "ready" } else { "NOT READY" };
    let _ = writeln!(
        page,
        "{ready}: doorward {} ({}), process {}, since {}\n",
        text(&status["version"]),
        text(&status["revision"]),
        status["pid"],
        text(&status["started_at"])
    );
    let (configuration, vault, store) =
        (&status["configuration"], &status["vault"], &status["session_store"]);
    let _ = writeln!(
        page,
        "configuration  number {}, since {}, hash {}",
        configuration["generation"],
        text(&configuration["loaded_at"]),
        text(&configuration["hash"])
    );
    let connections = &vault["connections"];
    let lease = match (vault["lease_held"] == true, vault["proven_seconds_ago"].as_f64()) {
        (true, Some(ago)) => format!("confirmed {ago:.1} s ago"),
        (_, Some(ago)) => format!("not confirmed for {ago:.1} s"),
        _ => "never confirmed".to_owned(),
    };
    let _ = writeln!(
        page,
        "vault          {}, {lease}; connections: {} in use, {} waiting, {} at most",
        text(&vault["kind"]),
        connections["in_use"],
        connections["waiting"],
        connections["max"]
    );
    let up = if store["up"] == true { "up" } else { "down" };
    let _ = writeln!(
        page,
        "session store  {}, {up}; {} revocations pending",
        text(&store["kind"]),
        store["tombstones_waiting"]
    );
    let traffic = &status["traffic"];
    let streams = &traffic["streams"];
    let _ = writeln!(
        page,
        "traffic        {} connections, {} requests, {} WebSockets, {} event streams; {} logins waiting; {} cached \
         tokens",
        traffic["connections"],
        traffic["requests_in_flight"],
        streams["websocket"],
        streams["event_stream"],
        traffic["logins_waiting"],
        traffic["verified_tokens"]
    );
    let _ = writeln!(page, "revocations    {} in the list", status["revocations"]);
    let throttle = &status["throttle"];
    let scopes = throttle["refused"].as_object().into_iter().flatten();
    let refused: Vec<String> = scopes
        .filter(|(_, count)| count.as_u64() > Some(0))
        .map(|(scope, count)| format!("{count} by {scope}"))
        .collect();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    let _ = writeln!(
        page,
        "throttle       refused: {refused}; {} attempts counted without the session store",
        throttle["counted_alone"]
    );
    let mail = &status["mail"];
    if mail.is_object() {
        let _ = writeln!(
            page,
            "mail           {} waiting; {} sent, {} failed, {} given up by this gateway",
            mail["waiting"], mail["sent"], mail["failed"], mail["given_up"]
        );
    }
    for key in each(&status["signing_keys"]) {
        let _ = writeln!(
            page,
            "key            {} ({}), {}",
            text(&key["kid"]),
            text(&key["algorithm"]),
            stage(key)
        );
    }
    for shown in each(&status["certificates"]) {
        let hosts: Vec<&str> = each(&shown["hosts"]).map(text).collect();
        let _ = writeln!(page, "certificate    {}, until {}", hosts.join(" "), text(&shown["ends"]));
    }
    for upstream in each(&status["upstreams"]) {
        for address in each(&upstream["addresses"]) {
            let _ = writeln!(
                page,
                "upstream       {}  {}  {}  {}",
                text(&upstream["name"]),
                text(&address["server"]),
                text(&address["address"]),
                server_state(address)
            );
        }
    }
    page
}

/// Returns the problems, most severe first.
fn problems(status: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if status["ready"] != true {
        problems.push(format!("not ready: {}", text(&status["why"])));
    }
    let (vault, is_ready) = (&status["vault"], status["ready"] == true);
    if is_ready && vault["lease_held"] != true {
        problems.push(
            "the vault is down: nobody can sign in or refresh, and the session store confirms sessions only for a \
             while".to_owned(),
        );
    } else if is_ready && vault["answers"] != true {
        problems.push("the vault did not answer the last query".to_owned());
    }
    if status["keys_loaded"] != true {
        problems.push(
            "the vault has keys that this gateway cannot use: see the log (`keys_unusable`)".to_owned(),
        );
    }
    for upstream in each(&status["upstreams"]) {
        problems.extend(upstream_problems(upstream));
    }
    if status["session_store"]["up"] != true {
        problems.push("the session store is down".to_owned());
    }
    if let Some(oldest) = status["mail"]["oldest_seconds"].as_i64().filter(|oldest| *oldest >= MAIL_IS_LATE) {
        problems.push(format!(
            "a mail has waited for {} minutes: `doorward mail test` shows what the server says",
            oldest / 60
        ));
    }
    for shown in each(&status["certificates"]) {
        let hosts: Vec<&str> = each(&shown["hosts"]).map(text).collect();
        match shown["ends_in_seconds"].as_i64() {
            Some(left) if left <= 0 => {
                problems.push(format!("the certificate of {} has expired", hosts.join(" ")));
            }
            Some(left) if left < RENEWAL_DUE => {
                problems.push(format!(
                    "the certificate of {} expires in {} days",
                    hosts.join(" "),
                    left / DAY
                ));
            }
            _ => {}
        }
    }
    let configuration = &status["configuration"];
    for problem in each(&configuration["rejected"]) {
        problems.push(format!("the current file is not in force: {}", text(problem)));
    }
    let keys: Vec<&str> = each(&configuration["restart_needed"]).map(text).collect();
    if !keys.is_empty() {
        problems.push(format!("a restart or an upgrade is needed for: {}", keys.join(", ")));
    }
    problems
}

/// Returns the problems of one upstream.
fn upstream_problems(upstream: &Value) -> Vec<String> {
    let name = text(&upstream["name"]);
    let mut problems = Vec::new();
    if upstream["all_fail"] == true {
        problems.push(format!("every address of {name} fails"));
    }
    for server in each(&upstream["unresolved"]) {
        problems.push(format!("{name}: the name of {} has no address", text(server)));
    }
    for address in each(&upstream["addresses"]).filter(|address| address["in_turn"] != true) {
        problems.push(format!("{name} at {}: {}", text(&address["address"]), server_state(address)));
    }
    problems
}

/// Formats the stage of a key, with its time.
fn stage(key: &Value) -> String {
    let (stage, from) = (text(&key["stage"]), text(&key["signs_from"]));
    match (stage, key["verifies_until"].as_str()) {
        ("published", _) => format!("published, signs from {from}"),
        ("verifying", Some(until)) => format!("verifying until {until}"),
        _ => format!("{stage} since {from}"),
    }
}

fn server_state(address: &Value) -> String {
    let ejected = address["ejected"].as_object().map(|ejected| {
        let wait = ejected["tried_again_in_seconds"].as_f64().unwrap_or_default();
        format!("ejected ({}), retried in {wait:.0} s", text(&ejected["cause"]))
    });
    let failure = address["last_check"]["failure"].as_str();
    let checks = (address["checks_fail"] == true).then(|| format!("checks fail: {}", failure.unwrap_or("-")));
    match (ejected, checks) {
        (None, None) => "healthy".to_owned(),
        (ejected, checks) => ejected.into_iter().chain(checks).collect::<Vec<_>>().join("; "),
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn healthy() -> Value {
        json!({
            "ready": true,
            "vault": { "answers": true, "lease_held": true },
            "keys_loaded": true,
            "session_store": { "up": true },
            "configuration": { "rejected": [], "restart_needed": [] },
            "upstreams": [{ "name": "app", "all_fail": false, "unresolved": [], "addresses": [{ "in_turn": true }] }],
            "certificates": [{ "hosts": ["app.test"], "ends_in_seconds": RENEWAL_DUE }],
        })
    }

    #[test]
    fn healthy_gateway_has_no_problems() {
        assert_eq!(problems(&healthy()), [""; 0]);
    }

    #[test]
    fn key_shows_its_stage_and_time() {
        let key = |name, until: Option<&str>| {
            stage(&json!({ "stage": name, "signs_from": "A", "verifies_until": until }))
        };
        assert_eq!(key("published", None), "published, signs from A");
        assert_eq!(key("signing", None), "signing since A");
        assert_eq!(key("verifying", Some("B")), "verifying until B");
    }

    #[test]
    fn each_problem_is_reported() {
        let wrong = [
            ("/ready", json!(false), "not ready: -"),
            ("/vault/lease_held", json!(false), "the vault is down"),
            ("/vault/answers", json!(false), "the vault did not answer"),
            ("/keys_loaded", json!(false), "keys that this gateway cannot use"),
            ("/session_store/up", json!(false), "the session store is down"),
            ("/configuration/rejected", json!(["gateway.toml:3: no"]), "not in force: gateway.toml:3: no"),
            ("/configuration/restart_needed", json!(["server.listen"]), "needed for: server.listen"),
            ("/upstreams/0/all_fail", json!(true), "every address of app fails"),
            ("/upstreams/0/unresolved", json!(["http://b:1"]), "app: the name of http://b:1 has no address"),
            ("/upstreams/0/addresses/0", json!({ "in_turn": false, "checks_fail": true }), "checks fail: -"),
            ("/certificates/0/ends_in_seconds", json!(0), "the certificate of app.test has expired"),
            (
                "/certificates/0/ends_in_seconds",
                json!(RENEWAL_DUE - 1),
                "the certificate of app.test expires in 13 days",
            ),
        ];
        for (place, value, said) in wrong {
            let mut status = healthy();
            *status.pointer_mut(place).expect("a member") = value;
            let problems = problems(&status);
            assert!(problems.len() == 1 && problems[0].contains(said), "{place}: {problems:?}");
        }
    }
}
