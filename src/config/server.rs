//! `[server]`, `[server.limits]` and `[admin]`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::hint::quoted;
use super::origin::{Origin, WEB};
use super::paths::segments;
use super::reader::{Place, Table};
use super::{Admin, Limits, Server, usize_from};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Reads `[server]`.
pub(super) fn server(table: Table<'_>, default: Server) -> Server {
    let origins = r#"["https://app.example.com"]"#;
    let public_urls = table.value("public_urls").and_then(|value| {
        let urls = value.list(origins, |item| item.parsed(|text| Origin::parse(text, WEB)))?;
        if urls.is_empty() && !value.place().is_flawed() {
            value.place().problem(
                "empty, but the Origin of every login is compared with it: write the URL people use",
            );
        }
        Some(urls.iter().map(Origin::to_string).collect())
    });
    let cors_origins = table
        .value("cors_origins")
        .and_then(|value| value.list(origins, |item| item.parsed(cors_origin)))
        .map(|origins| origins.iter().map(Origin::to_string).collect());
    let listen = listen(&table);
    if listen.as_ref().is_some_and(Vec::is_empty) && !table.place_of("listen").is_flawed() {
        table
            .place_of("listen")
            .problem(r#"empty, so nobody could be served: write an address such as "127.0.0.1:8080""#);
    }
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let server = Server {
        listen: listen.unwrap_or(default.listen),
        public_urls: public_urls.unwrap_or(default.public_urls),
        auth_prefix: table
            .value("auth_prefix")
            .and_then(|value| value.parsed(auth_prefix))
            .unwrap_or(default.auth_prefix),
        cors_origins: cors_origins.unwrap_or(default.cors_origins),
        trusted_proxies: table
            .value("trusted_proxies")
            .and_then(|value| value.list(r#"["10.0.0.0/8"]"#, |item| item.parsed(trusted_proxy)))
            .unwrap_or(default.trusted_proxies),
        threads: table
            .value("threads")
            .and_then(|value| {
                value.count(0..=1024, "0 is one per core; more than 1024 no machine keeps busy")
            })
            .map_or(default.threads, usize_from),
        lameduck: duration(
            "lameduck",
            Duration::ZERO..=Duration::from_mins(10),
            "load balancers notice within minutes, and every stop waits for this",
        )
        .unwrap_or(default.lameduck),
        drain_timeout: duration("drain_timeout", Duration::ZERO..=HOUR, "a stop must end")
            .unwrap_or(default.drain_timeout),
        keepalive_timeout: duration(
            "keepalive_timeout",
            SECOND..=HOUR,
            "shorter closes connections between two clicks, longer keeps the dead ones",
        )
        .unwrap_or(default.keepalive_timeout),
        limits: limits(table.table("limits"), default.limits),
    };
    table.finish();
    server
}

fn limits(table: Table<'_>, default: Limits) -> Limits {
    const CONNECTIONS: &str = "0 would refuse everybody; a million is beyond what one process may open";
    let connections =
        |name| table.value(name).and_then(|value| value.count(1..=1_000_000, CONNECTIONS)).map(usize_from);
    let limits = Limits {
        connections: connections("connections").unwrap_or(default.connections),
        connections_per_ip: connections("connections_per_ip").unwrap_or(default.connections_per_ip),
        header_bytes: table
            .value("header_bytes")
            .and_then(|value| {
                value.size(1 << 10..=1 << 20, "cookies need 1KiB, and each connection may take this much")
            })
            .map_or(default.header_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        header_deadline: table
            .value("header_deadline")
            .and_then(|value| {
                value.duration(
                    SECOND..=Duration::from_mins(5),
                    "slow phones need a second, slow attackers take all they get",
                )
            })
            .unwrap_or(default.header_deadline),
    };
    table.finish();
    limits
}

/// Reads `[admin]`; an address cannot be both public and admin.
pub(super) fn admin(table: Table<'_>, default: Admin, server: &Server, public: &Place<'_>) -> Admin {
    let admin = Admin { listen: listen(&table).unwrap_or(default.listen) };
    let shared = admin.listen.iter().find(|address| address.port() != 0 && server.listen.contains(address));
    if let Some(address) = shared
        && let Some(place) = table.place_of("listen").with(public)
    {
        place.problem(format!(
            "\"{address}\" is both in server.listen and in admin.listen: give metrics and health their own port"
        ));
    }
    table.finish();
    admin
}

fn listen(table: &Table<'_>) -> Option<Vec<SocketAddr>> {
    let mut seen: Vec<SocketAddr> = Vec::new();
    table.value("listen")?.list(r#"["127.0.0.1:8080"]"#, |item| {
        item.parsed(|text| {
            let address: SocketAddr = text.parse().map_err(|_| {
                format!(
                    "{} is not an address and port: write one such as \"127.0.0.1:8080\" or \"[::]:8080\"",
                    quoted(text)
                )
            })?;
            if address.port() != 0 && seen.contains(&address) {
                return Err(format!("\"{address}\" is listed twice: remove one"));
            }
            seen.push(address);
            Ok(address)
        })
    })
}

fn auth_prefix(text: &str) -> Result<String, String> {
    segments(text)?;
    if text == "/" {
        return Err(r#""/" would take every path from the app: write a path such as "/auth""#.to_owned());
    }
    if text == "/.well-known" || text.starts_with("/.well-known/") {
        return Err(r#"/.well-known is shared with the app: write a path such as "/auth""#.to_owned());
    }
    Ok(text.to_owned())
}

fn cors_origin(text: &str) -> Result<Origin, String> {
    match text {
        "*" => {
            Err("\"*\" would let the scripts of every site act for whoever is signed in: list the origins"
                .to_owned())
        }
        "null" => Err("\"null\" is what any sandboxed page sends as its origin: list the origins".to_owned()),
        text => Origin::parse(text, WEB),
    }
}

fn trusted_proxy(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or(address).map_err(|_| {
        format!("{} is not a network: write one such as \"10.0.0.0/8\", or an address", quoted(text))
    })?;
    if network.prefix_len() == 0 {
        return Err(format!(
            "{} is everybody, who could then claim any address: list your proxies",
            quoted(text)
        ));
    }
    if network.addr() != network.network() {
        return Err(format!("{} has bits set after its prefix: write \"{}\"", quoted(text), network.trunc()));
    }
    Ok(network)
}
