//! Warnings about a valid configuration, printed by `doorward check` and logged at startup and at a reload.

mod headers;
mod routes;

use std::net::{IpAddr, SocketAddr};

use super::{Access, Config, HostPattern, ListenAddress, Server, Tls, TlsCertificate, UNIX_PEER, defaults};
use crate::clock::Timestamp;
use crate::config::parse::units::show_duration;
use crate::text::host_and_port;

/// A likely mistake; the configuration can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The dotted key.
    pub key: String,
    /// The likely mistake and what to do about it.
    pub message: String,
}

impl Config {
    /// Returns the warnings that apply at the time `now`.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (at, url) in self.server.public_urls.iter().enumerate().filter(|(_, url)| is_clear(url)) {
            let message = format!(
                "browsers reject Secure cookies over http, except from localhost, so nobody can sign in at {url:?}: \
                 write https://, even if a proxy in front terminates TLS"
            );
            warnings.push(Warning { key: format!("server.public_urls[{at}]"), message });
        }
        warnings.extend(elsewhere(&self.server));
        warnings.extend(unnamed_proxy(&self.server));
        warnings.extend(clear_listener(&self.server));
        warnings.extend(unnamed_unix_peer(&self.server));
        warnings.extend(circles(self));
        warnings.extend(routes::siblings(self));
        warnings.extend(routes::stripped(self));
        warnings.extend(routes::unused(self));
        warnings.extend(headers::unsent(self));
        warnings.extend(headers::unneeded(self));
        warnings.extend(headers::unpassed(self));
        warnings.extend(lifetimes(self));
        warnings.extend(passkeys(self));
        warnings.extend(unreached_hosts(self));
        if let Some(tls) = &self.server.tls {
            for (at, certificate) in tls.certificates.iter().enumerate() {
                certificate_warnings(
                    &format!("server.tls.certificates[{at}]"),
                    certificate,
                    now,
                    &mut warnings,
                );
            }
            for (at, url) in self.server.public_urls.iter().enumerate() {
                if let Some(message) = uncovered(url, tls) {
                    warnings.push(Warning { key: format!("server.public_urls[{at}]"), message });
                }
            }
        }
        warnings
    }
}

/// Passkeys belong to one host name. Without one above all others there are none.
fn passkeys(config: &Config) -> Option<Warning> {
    let hosts: Vec<&str> = (config.server.public_urls.iter())
        .filter_map(|url| url.strip_prefix("https://"))
        .map(|authority| host_and_port(authority).0)
        .filter(|host| host.parse::<IpAddr>().is_err() && !host.starts_with('['))
        .collect();
    let shortest = hosts.iter().min_by_key(|host| host.len())?;
    let is_below =
        |host: &str| host.strip_suffix(shortest).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let other = hosts.iter().find(|host| !is_below(host))?;
    if !config.login.passkeys.enabled || config.login.passkeys.rp_id.is_some() {
        return None;
    }
    let message = format!(
        "there are no passkeys: of the hosts of server.public_urls none is above both {shortest} and {other}. Set it to their \
         common domain, or set passkeys = false"
    );
    Some(Warning { key: "login.passkey_rp_id".into(), message })
}

fn certificate_warnings(key: &str, shown: &TlsCertificate, now: Timestamp, warnings: &mut Vec<Warning>) {
    let (begins, ends) = (shown.certificate.begins(), shown.certificate.ends());
    let renew = "renew it and replace the file; the new one is loaded without a restart";
    let mut warn = |name: &str, message| warnings.push(Warning { key: format!("{key}.{name}"), message });
    if ends < now {
        warn("cert_file", format!("it expired at {ends}, and clients reject it: {renew}"));
    } else if now < begins {
        warn(
            "cert_file",
            format!("it is not valid before {begins}, and clients reject it until then; check the clock"),
        );
    // Automatic renewal happens at two thirds of the lifetime, so it has probably failed.
    } else if ends.since(now) < ends.since(begins) / 6 {
        warn("cert_file", format!("it expires at {ends}: {renew}"));
    }
    if shown.is_key_world_readable {
        warn("key_file", "every user of this machine can read the private key: chmod 600 it".to_owned());
    }
}

/// Warns when all public URLs are https but neither TLS nor a trusted proxy is configured.
fn unnamed_proxy(server: &Server) -> Option<Warning> {
    let is_https = server.public_urls.iter().all(|url| url.starts_with("https://"));
    if !is_https || server.tls.is_some() || !server.trusted_proxies.is_empty() {
        return None;
    }
    let message = "server.public_urls are https and there is no [server.tls], so a proxy in front terminates TLS. \
                   Until its network is listed here, such as \"10.0.0.0/8\", apps see the scheme http, and all \
                   clients count as one address";
    Some(Warning { key: "server.trusted_proxies".to_owned(), message: message.to_owned() })
}

/// Warns when other machines can reach the gateway over plain http only: browsers keep its cookies over https.
fn clear_listener(server: &Server) -> Option<Warning> {
    let is_proxied = !server.trusted_proxies.is_empty() || !server.proxy_protocol_from.is_empty();
    let is_https = server.public_urls.iter().any(|url| url.starts_with("https://"));
    if server.tls.is_some() || is_proxied || is_https {
        return None;
    }
    let address = server.listen.iter().filter_map(ListenAddress::tcp).find(|at| !at.ip().is_loopback())?;
    let message = format!(
        "{address} is open to other machines over plain http, where browsers reject the Secure cookies, so nobody can sign \
         in from there: set [server.tls], or end TLS in a proxy in front and list it in server.trusted_proxies"
    );
    Some(Warning { key: "server.listen".to_owned(), message })
}

/// Warns about lifetimes longer than another one that ends the session first.
fn lifetimes(config: &Config) -> Vec<Warning> {
    let (browser, sessions, tokens) = (&config.browser, &config.sessions, &config.tokens);
    [
        ("browser.idle_timeout", browser.idle_timeout, "sessions.idle_timeout", sessions.idle_timeout),
        ("browser.remember", browser.remember, "sessions.absolute_timeout", sessions.absolute_timeout),
        ("tokens.access_ttl", tokens.access_ttl, "browser.idle_timeout", browser.idle_timeout),
        (
            "sessions.revalidate_after",
            sessions.revalidate_after,
            "sessions.idle_timeout",
            sessions.idle_timeout,
        ),
    ]
    .into_iter()
    .filter(|(_, life, _, cap)| life > cap)
    .map(|(key, life, cap_key, cap)| Warning {
        key: key.to_owned(),
        message: format!(
            "{} is longer than the {} of {cap_key}, which takes effect first: lower this, or raise {cap_key}",
            show_duration(life),
            show_duration(cap)
        ),
    })
    .collect()
}

/// Warns when the gateway listens on a Unix socket but does not trust the proxy behind it.
fn unnamed_unix_peer(server: &Server) -> Option<Warning> {
    let is_unix = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_));
    let names = |networks: &[ipnet::IpNet]| networks.iter().any(|network| network.contains(&UNIX_PEER));
    if !server.listen.iter().any(is_unix)
        || names(&server.trusted_proxies)
        || names(&server.proxy_protocol_from)
    {
        return None;
    }
    let message = "server.listen has a Unix socket, whose peers have no address: until \"unix:\" is listed here, all \
                   of them count as one client, 0.0.0.0, and X-Forwarded-For of the proxy in front is ignored";
    Some(Warning { key: "server.trusted_proxies".to_owned(), message: message.to_owned() })
}

/// Warns about upstream servers that are addresses of this gateway.
fn circles(config: &Config) -> Vec<Warning> {
    let server = &config.server;
    let all = server.listen.iter().chain(&server.redirect_listen).chain(&config.admin.listen);
    let own: Vec<SocketAddr> = all.filter_map(ListenAddress::tcp).collect();
    let leads_here = |host: &str, port: u16| {
        let is_at = |address: &SocketAddr| {
            let ip = address.ip();
            let is_any = |at: IpAddr| at == ip || (ip.is_unspecified() && at.is_loopback());
            match host.parse::<IpAddr>() {
                Ok(at) => is_any(at),
                Err(_) => host == "localhost" && (ip.is_unspecified() || ip.is_loopback()),
            }
        };
        port != 0 && own.iter().filter(|address| address.port() == port).any(is_at)
    };
    let mut warnings = Vec::new();
    for upstream in &config.upstreams {
        for (at, server) in upstream.servers.iter().enumerate() {
            if server.socket.is_none() && leads_here(&server.host, server.port) {
                let message = "this is an address of the gateway itself, so requests would loop: write the address \
                               the app listens on";
                let key = format!("upstreams.{}.servers[{at}]", upstream.name);
                warnings.push(Warning { key, message: message.to_owned() });
            }
        }
    }
    warnings
}

/// Warns about hosts of routes at which nobody can stay signed in, or which are not redirected to https.
fn unreached_hosts(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, route) in config.routes.iter().enumerate().filter(|(_, route)| route.access != Access::Public) {
        for (index, host) in route.hosts.iter().enumerate() {
            let (HostPattern::Exact(name) | HostPattern::Below(name)) = host else { continue };
            let shown =
                if matches!(host, HostPattern::Below(_)) { format!("*.{name}") } else { name.clone() };
            let key = format!("routes[{at}].hosts[{index}]");
            let is_below = |domain: &String| {
                name.strip_suffix(domain.as_str())
                    .is_some_and(|above| above.is_empty() || above.ends_with('.'))
            };
            if let Some(domain) = config.browser.cookie_domain.as_ref().filter(|domain| !is_below(domain)) {
                let message = format!(
                    "{shown:?} is not at or below browser.cookie_domain ({domain:?}), so browsers reject the cookies \
                     there and nobody can sign in: change one of the two, or remove cookie_domain"
                );
                warnings.push(Warning { key, message });
                continue;
            }
            // No public URL can stand for all names below a domain.
            let is_listed = |url: &String| {
                matches!(host, HostPattern::Exact(_))
                    && url.split_once("://").is_some_and(|(_, rest)| host_of(rest) == name.as_str())
            };
            if !config.server.redirect_listen.is_empty() && !config.server.public_urls.iter().any(is_listed) {
                let message = format!(
                    "{shown:?} is not the host of any of server.public_urls, so server.redirect_listen does not redirect it to https: \
                     add \"https://\" and the host there"
                );
                warnings.push(Warning { key, message });
            }
        }
    }
    warnings
}

/// Warns when all public URLs are on this machine but none uses a port the gateway listens on: only one of the two was
/// changed.
fn elsewhere(server: &Server) -> Option<Warning> {
    let ports: Vec<u16> = server.listen.iter().filter_map(ListenAddress::tcp).map(|tcp| tcp.port()).collect();
    // Clients of a Unix socket, or of a socket from the service manager, use a URL that is unknown here.
    if ports.len() < server.listen.len() {
        return None;
    }
    let leads_here = |url: &String| !is_here(url) || ports.contains(&port_of(url));
    if ports.contains(&0) || server.public_urls.iter().any(leads_here) {
        return None;
    }
    let message = format!(
        "none has a port of server.listen ({}), so a browser that uses that port cannot sign in: write {:?}, or the \
         URL that browsers show",
        ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        defaults::public_urls(&server.listen),
    );
    Some(Warning { key: "server.public_urls".to_owned(), message })
}

/// Returns whether only this machine can reach `url`.
fn is_here(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, authority)| host_of(authority));
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the port of an origin.
fn port_of(url: &str) -> u16 {
    let written = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(if url.starts_with("https://") { 443 } else { 80 })
}

/// Returns whether browsers consider `url` untrustworthy (W3C Secure Contexts section 3.1) and so reject `Secure`
/// cookies.
fn is_clear(url: &str) -> bool {
    let Some(host) = url.strip_prefix("http://").map(host_of) else { return false };
    let is_loopback = || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !(host == "localhost" || host.ends_with(".localhost") || is_loopback())
}

/// Returns the host of an authority, without brackets.
fn host_of(authority: &str) -> &str {
    host_and_port(authority).0.trim_matches(['[', ']'])
}

/// Returns the message for `url` if none of these certificates covers it.
fn uncovered(url: &str, tls: &Tls) -> Option<String> {
    let host = host_of(url.strip_prefix("https://")?);
    let shown = |certificate: &&TlsCertificate| {
        certificate.hosts.iter().any(|known| known == host)
            || certificate.hosts.iter().any(|known| {
                known
                    .strip_prefix("*.")
                    .is_some_and(|below| host.split_once('.').is_some_and(|(_, rest)| rest == below))
            })
    };
    let certificate = tls.certificates.iter().find(shown).or(tls.certificates.first())?;
    (!certificate.certificate.covers(host)).then(|| {
        format!("no certificate of server.tls covers {host:?}, so browsers will reject it: add one, or correct the \
                 address")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn public_url_that_keeps_no_cookies_gets_a_warning() {
        let mut config = Config::defaults(Path::new(""));
        for (url, clear) in [
            ("https://app.example.com", false),
            ("http://localhost:8080", false),
            ("http://app.localhost", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://app.example.com", true),
            ("http://localhost.example.com:8080", true),
            ("http://192.0.2.1", true),
        ] {
            config.server.public_urls = vec!["https://a.example".to_owned(), url.to_owned()];
            config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
            config.login.passkeys.enabled = false;
            let warnings = config.warnings(Timestamp::from_secs(0));
            let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
            assert_eq!(keys, if clear { &["server.public_urls[1]"][..] } else { &[] }, "{url}");
        }
    }

    #[test]
    fn public_urls_without_a_common_host_get_a_warning_about_passkeys() {
        let mut config = Config::defaults(Path::new(""));
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        for (urls, warns) in [
            (&["https://a.example", "https://b.example"][..], true),
            (&["https://a.example", "https://ba.example"], true),
            (&["https://a.example", "https://b.a.example:8443"], false),
            (&["https://a.example", "https://192.0.2.1"], false),
            (&["http://127.0.0.1:8080", "http://localhost:8080"], false),
        ] {
            config.server.public_urls = urls.iter().map(|url| (*url).to_owned()).collect();
            let mut others = config.clone();
            let warned = |config: &Config| keys(config).contains(&"login.passkey_rp_id".to_owned());
            assert_eq!(warned(&config), warns, "{urls:?}");
            others.login.passkeys.rp_id = Some("example".to_owned());
            assert!(!warned(&others), "{urls:?}");
        }
    }

    /// Returns the keys with warnings.
    fn keys(config: &Config) -> Vec<String> {
        config.warnings(Timestamp::from_secs(0)).into_iter().map(|warning| warning.key).collect()
    }

    #[test]
    fn https_without_tls_or_trusted_proxy_gets_a_warning() {
        let mut config = Config::defaults(Path::new(""));
        assert_eq!(keys(&config), [""; 0]);
        config.server.public_urls = vec!["https://app.example.com".to_owned()];
        assert_eq!(keys(&config), ["server.trusted_proxies"]);
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(keys(&config), [""; 0]);
    }

    #[test]
    fn upstream_that_is_the_gateway_gets_a_warning() {
        for (listen, server, is_own) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "http://localhost:8080", true),
            ("0.0.0.0:80", "http://127.0.0.1", true),
            ("[::]:8080", "http://[::1]:8080", true),
            ("127.0.0.1:8080", "http://127.0.0.1:9900", true),
            ("127.0.0.1:8080", "http://127.0.0.1:9000", false),
            ("192.0.2.1:8080", "http://127.0.0.1:8080", false),
            ("0.0.0.0:8080", "http://app:8080", false),
            ("127.0.0.1:0", "http://127.0.0.1:8080", false),
        ] {
            let text =
                format!("[server]\nlisten = [\"{listen}\"]\n[upstreams.app]\nservers = [\"{server}\"]\n");
            let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).unwrap();
            let warned = keys(&config).iter().any(|key| key == "upstreams.app.servers[0]");
            assert_eq!(warned, is_own, "{listen} {server}");
        }
    }

    #[test]
    fn clear_listener_for_other_machines_gets_a_warning() {
        for (listen, more, is_warned) in [
            ("0.0.0.0:8080", "", true),
            ("192.0.2.1:8080", "", true),
            ("127.0.0.1:8080", "", false),
            ("[::1]:8080", "", false),
            ("unix:/run/doorward.sock", "trusted_proxies = [\"unix:\"]", false),
            ("0.0.0.0:8080", "trusted_proxies = [\"10.0.0.0/8\"]", false),
            // This one is warned about trusted_proxies instead.
            ("0.0.0.0:8080", "public_urls = [\"https://app.example.com\"]", false),
        ] {
            let text = format!("[server]\nlisten = [\"{listen}\"]\n{more}\n");
            let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).unwrap();
            assert_eq!(keys(&config).contains(&"server.listen".to_owned()), is_warned, "{listen} {more}");
        }
    }

    #[test]
    fn route_host_outside_the_cookie_domain_gets_a_warning() {
        let text = "[server]\npublic_urls = [\"http://app.localhost\"]\n[browser]\ncookie_domain = \"app.localhost\"\n\
                    [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\nname = \"app\"\npath = \"/\"\n\
                    access = \"signed-in\"\nupstream = \"app\"\nhosts = [\"app.localhost\", \"*.app.localhost\", \
                    \"other.localhost\", \"xapp.localhost\"]\n";
        let mut config = Config::parse(text, Path::new("gateway.toml"), &|_| None).unwrap();
        assert_eq!(keys(&config), ["routes[0].hosts[2]", "routes[0].hosts[3]"]);
        config.browser.cookie_domain = None;
        assert_eq!(keys(&config), [""; 0]);
        config.server.redirect_listen = vec![SocketAddr::from(([127, 0, 0, 1], 80)).into()];
        let hosts = ["routes[0].hosts[1]", "routes[0].hosts[2]", "routes[0].hosts[3]"];
        assert_eq!(keys(&config), hosts);
        config.routes[0].access = Access::Public;
        assert_eq!(keys(&config), [""; 0]);
    }

    #[test]
    fn local_public_url_with_another_port_gets_a_warning() {
        let mut config = Config::defaults(Path::new(""));
        for (listen, urls, elsewhere) in [
            (&["127.0.0.1:9090"][..], &["http://127.0.0.1:8080", "http://localhost:8080"][..], true),
            (&["127.0.0.1:9090", "[::1]:8080"], &["http://localhost:8080"], false),
            (&["0.0.0.0:80"], &["http://[::1]"], false),
            (&["0.0.0.0:443"], &["https://localhost"], false),
            (&["0.0.0.0:8443"], &["https://localhost"], true),
            (&["127.0.0.1:0"], &["http://localhost:8080"], false),
            (&["127.0.0.1:9090"], &["http://localhost:8080", "https://app.example.com"], false),
        ] {
            config.server.listen =
                listen.iter().map(|address| address.parse::<SocketAddr>().unwrap().into()).collect();
            config.server.public_urls = urls.iter().map(|&url| url.to_owned()).collect();
            let warnings = config.warnings(Timestamp::from_secs(0));
            let is_warned =
                warnings.iter().any(|warning| warning.message.contains("a port of server.listen"));
            assert_eq!(is_warned, elsewhere, "{listen:?} {urls:?}");
        }
    }
}
