//! All default values. Each is the safe choice. `gateway.toml` at the root of the repository shows them all, which a
//! test checks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use super::{
    Admin, Algorithm, Brand, Browser, Colour, Config, FactorPolicy, HostPattern, IdentityHeaders, Limits,
    ListenAddress, Log, LogAccess, LogFormat, LogLevel, Login, MasterKey, Passkeys, Reaction, Server,
    Sessions, SessionsUrl, SiteData, Tokens, Unusual, Vault, VaultUrl,
};
use crate::identity::Roles;

/// `[brand] accent`
const ACCENT: Colour = Colour([0x1d, 0x5f, 0xb8]);
/// `[upstreams.<name>] connect_timeout`
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// `[upstreams.<name>] idle_timeout`: below the 60 s or more of most proxies and servers. A server with a shorter
/// timeout announces it in `Keep-Alive`; otherwise the request is retried.
pub(super) const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// `[[routes]] timeout`
pub(super) const ROUTE_TIMEOUT: Duration = Duration::from_secs(60);
/// `[[routes]] body_limit`
pub(super) const BODY_LIMIT: u64 = 16 << 20;

/// `[[routes]] hosts`
pub(super) fn hosts() -> Vec<HostPattern> {
    vec![HostPattern::Any]
}

impl Config {
    /// The configuration of an empty file in the directory `dir`.
    pub fn defaults(dir: &Path) -> Self {
        Self {
            server: server(),
            admin: Admin { listen: vec![loopback(9900).into()], token: None },
            vault: Vault {
                url: VaultUrl::Sqlite(dir.join("doorward.db")),
                ca_file: None,
                master_key: MasterKey::File(dir.join("master.key")),
                pool_size: 8,
                prepared: true,
                statement_timeout: Duration::from_secs(2),
                lease: Duration::from_secs(1),
                audit_retention: Duration::from_hours(90 * 24),
            },
            sessions: Sessions {
                url: SessionsUrl::Memory,
                ca_file: None,
                key_prefix: "dw:".to_owned(),
                timeout: Duration::from_millis(100),
                revalidate_after: Duration::from_secs(5),
                vault_outage_grace: Duration::from_secs(60),
                idle_timeout: Duration::from_hours(14 * 24),
                absolute_timeout: Duration::from_hours(30 * 24),
                local_cache_bytes: 64 << 20,
                stream_lease: Duration::from_secs(30),
            },
            tokens: Tokens {
                issuer: "http://127.0.0.1:8080".to_owned(),
                audience: "doorward".to_owned(),
                algorithm: Algorithm::EdDsa,
                access_ttl: Duration::from_mins(15),
                refresh_grace: Duration::from_secs(60),
                refresh_grace_unused: Duration::from_hours(24),
                encrypted_claims: None,
            },
            login: Login {
                peppers: Vec::new(),
                password: true,
                hash_threads: 1,
                hash_queue: 64,
                min_password_length: 15,
                breached_passwords: None,
                factor: FactorPolicy {
                    required: false,
                    roles: Roles::default(),
                    grace: Duration::from_hours(24 * 7),
                    min_password_length: 8,
                },
                passkeys: Passkeys { enabled: true, rp_id: None },
                attempts_per_account: 10,
                attempts_per_address: 300,
                attempts_overall: 10_000,
                failure_delay: Duration::ZERO,
            },
            mail: None,
            providers: Vec::new(),
            unusual: Unusual {
                frequent_refresh: Reaction::Observe,
                other_network: Reaction::Observe,
                other_browser: Reaction::Observe,
                many_accounts: Reaction::Observe,
                new_network: Reaction::Observe,
            },
            browser: Browser {
                idle_timeout: Duration::from_hours(12),
                remember: Duration::from_hours(30 * 24),
                cookie_domain: None,
                clear_site_data: vec![SiteData::Cache, SiteData::Storage],
                after_sign_out: None,
            },
            identity_headers: IdentityHeaders {
                user: HeaderName::from_static("x-auth-user"),
                user_id: HeaderName::from_static("x-auth-user-id"),
                roles: HeaderName::from_static("x-auth-roles"),
                session: HeaderName::from_static("x-auth-session"),
            },
            brand: Brand {
                name: "doorward".to_owned(),
                accent: ACCENT,
                accent_dark: ACCENT.for_dark(),
                logo: None,
                css: None,
            },
            log: Log {
                format: LogFormat::Json,
                level: LogLevel::Info,
                access: LogAccess::All,
                user_agent: false,
            },
            upstreams: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// `[server] public_urls`: the URLs of these addresses for a browser on this machine. A port chosen by the system is
/// unknown here; if there is no other, the default port is used.
pub(super) fn public_urls(listen: &[ListenAddress]) -> Vec<String> {
    let mut urls = Vec::new();
    let ports = listen.iter().filter_map(ListenAddress::tcp).map(|address| address.port());
    for port in ports.filter(|&port| port != 0) {
        for host in ["127.0.0.1", "localhost"] {
            let url = if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") };
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    if urls.is_empty() { public_urls(&[loopback(8080).into()]) } else { urls }
}

fn server() -> Server {
    let listen = vec![loopback(8080).into()];
    Server {
        public_urls: public_urls(&listen),
        listen,
        unix_mode: 0o660,
        auth_prefix: "/auth".to_owned(),
        cors_origins: Vec::new(),
        trusted_proxies: Vec::new(),
        strict_siblings: false,
        threads: 0,
        lameduck: Duration::ZERO,
        drain_timeout: Duration::from_secs(30),
        keepalive_timeout: Duration::from_secs(60),
        limits: Limits {
            connections: 10_000,
            connections_per_ip: 256,
            header_bytes: 32 << 10,
            header_fields: 100,
            header_deadline: Duration::from_secs(15),
            min_body_rate: 256,
            send_timeout: Duration::from_secs(60),
            stalled_bytes: 64 << 20,
            requests_per_connection: 10_000,
            http2_streams: 100,
        },
        redirect_listen: Vec::new(),
        proxy_protocol_from: Vec::new(),
        h2c: false,
        health_path: None,
        tls: None,
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
