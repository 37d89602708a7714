//! Splits a new configuration into the keys that a running process applies and those that need a restart.
//!
//! Every struct is destructured completely, so a new key does not compile until somebody decides where it belongs.

use super::{
    Admin, Config, Limits, Log, Login, MasterKey, PostgresUrl, RedisTopology, RedisUrl, Server, Sessions,
    SessionsUrl, Tls, Tokens, Vault, VaultUrl, defaults,
};

/// Keys that need a new process: a restart, or an upgrade (SIGUSR2), which loses no request.
pub const RESTART: &[&str] = &[
    "server.listen",
    "server.unix_mode",
    "server.redirect_listen",
    "server.threads",
    "server.tls",
    "admin.listen",
    "vault.url",
    "vault.ca_file",
    "vault.prepared",
    "vault.master_key",
    "vault.statement_timeout",
    "vault.lease",
    "sessions.url",
    "sessions.ca_file",
    "sessions.key_prefix",
    "sessions.timeout",
    "sessions.local_cache_bytes",
    "login.hash_threads",
    "login.hash_queue",
    "login.peppers",
    "log.format",
];

/// Result of applying a new configuration to a running process.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The configuration to put in force: the new one, except for the keys that stay unchanged.
    pub config: Config,
    /// The unchanged keys that differ, each of [`RESTART`], in the order of the file.
    pub restart: Vec<&'static str>,
}

impl Change {
    /// Compares the running configuration with the new one.
    pub fn between(running: &Config, new: Config) -> Self {
        let Config {
            server: new_server,
            admin: Admin { listen, token },
            vault: new_vault,
            sessions: new_sessions,
            tokens: new_tokens,
            login: new_login,
            mail,
            providers,
            unusual,
            browser,
            identity_headers,
            brand,
            log: Log { format, level, access, user_agent },
            upstreams,
            routes,
        } = new;
        let fixed = &mut Fixed::default();
        let config = Config {
            server: server(new_server, &running.server, fixed),
            admin: Admin { listen: fixed.keep("admin.listen", listen, &running.admin.listen), token },
            vault: vault(new_vault, &running.vault, fixed),
            sessions: sessions(new_sessions, running, fixed),
            tokens: tokens(new_tokens),
            login: login(new_login, &running.login, fixed),
            // The next mail goes to it.
            mail,
            // A new provider is made of each; flows that began before end with an error if issuer or client changed.
            providers,
            // Applies to the next sign-in or refresh.
            unusual,
            // These only affect the compiled snapshot.
            browser,
            identity_headers,
            brand,
            log: Log {
                format: fixed.keep("log.format", format, &running.log.format),
                level,
                access,
                user_agent,
            },
            upstreams,
            routes,
        };
        Self { config, restart: std::mem::take(&mut fixed.0) }
    }
}

/// Keys that differ and keep their running value.
#[derive(Default)]
struct Fixed(Vec<&'static str>);

impl Fixed {
    /// Returns the running value, and records the key if the new value differs.
    fn keep<T: PartialEq + Clone>(&mut self, key: &'static str, new: T, running: &T) -> T {
        if new != *running {
            debug_assert!(RESTART.contains(&key), "{key} is not in the list");
            self.0.push(key);
        }
        running.clone()
    }
}

fn server(new: Server, running: &Server, fixed: &mut Fixed) -> Server {
    let Server {
        listen,
        unix_mode,
        public_urls,
        auth_prefix,
        cors_origins,
        trusted_proxies,
        strict_siblings,
        threads,
        lameduck,
        drain_timeout,
        keepalive_timeout,
        limits,
        redirect_listen,
        // Apply to new connections and new requests.
        proxy_protocol_from,
        h2c,
        health_path,
        tls,
    } = new;
    // All limits are applied. A lower connection limit closes no connection at once: idle ones are evicted as new ones
    // arrive.
    let Limits {
        connections: _,
        connections_per_ip: _,
        header_bytes: _,
        header_fields: _,
        header_deadline: _,
        min_body_rate: _,
        send_timeout: _,
        stalled_bytes: _,
        requests_per_connection: _,
        http2_streams: _,
    } = limits;
    // Unset public URLs are derived from the addresses, which stay unchanged.
    let follows = listen != running.listen && public_urls == defaults::public_urls(&listen);
    let public_urls = if follows { defaults::public_urls(&running.listen) } else { public_urls };
    let listen = fixed.keep("server.listen", listen, &running.listen);
    let unix_mode = fixed.keep("server.unix_mode", unix_mode, &running.unix_mode);
    let redirect_listen = fixed.keep("server.redirect_listen", redirect_listen, &running.redirect_listen);
    let threads = fixed.keep("server.threads", threads, &running.threads);
    // New certificates apply to the next handshake. Whether a listener uses TLS at all is fixed at its start.
    let tls = match (tls, &running.tls) {
        (Some(Tls { certificates, hsts, clients }), Some(_)) => Some(Tls { certificates, hsts, clients }),
        (tls, running) => fixed.keep("server.tls", tls, running),
    };
    Server {
        listen,
        unix_mode,
        public_urls,
        auth_prefix,
        cors_origins,
        trusted_proxies,
        strict_siblings,
        threads,
        lameduck,
        drain_timeout,
        keepalive_timeout,
        limits,
        redirect_listen,
        proxy_protocol_from,
        h2c,
        health_path,
        tls,
    }
}

fn vault(new: Vault, running: &Vault, fixed: &mut Fixed) -> Vault {
    let Vault { url, ca_file, master_key, pool_size, prepared, statement_timeout, lease, audit_retention } =
        new;
    // New credentials apply to new connections. Another host or database may hold other data, so it needs a restart.
    let (url, ca_file) = if url.is_same_store(&running.url) {
        (url, ca_file)
    } else {
        let url = fixed.keep("vault.url", url, &running.url);
        (url, fixed.keep("vault.ca_file", ca_file, &running.ca_file))
    };
    let master_key: MasterKey = fixed.keep("vault.master_key", master_key, &running.master_key);
    Vault {
        url,
        ca_file,
        pool_size,
        prepared: fixed.keep("vault.prepared", prepared, &running.prepared),
        master_key,
        statement_timeout: fixed.keep(
            "vault.statement_timeout",
            statement_timeout,
            &running.statement_timeout,
        ),
        lease: fixed.keep("vault.lease", lease, &running.lease),
        audit_retention,
    }
}

fn sessions(new: Sessions, running: &Config, fixed: &mut Fixed) -> Sessions {
    let (running, lease) = (&running.sessions, running.vault.lease);
    let Sessions {
        url,
        ca_file,
        key_prefix,
        timeout,
        revalidate_after,
        vault_outage_grace,
        idle_timeout,
        absolute_timeout,
        local_cache_bytes,
        stream_lease,
    } = new;
    let (url, ca_file) = if url.is_same_store(&running.url) {
        (url, ca_file)
    } else {
        let url = fixed.keep("sessions.url", url, &running.url);
        (url, fixed.keep("sessions.ca_file", ca_file, &running.ca_file))
    };
    Sessions {
        url,
        ca_file,
        key_prefix: fixed.keep("sessions.key_prefix", key_prefix, &running.key_prefix),
        timeout: fixed.keep("sessions.timeout", timeout, &running.timeout),
        revalidate_after,
        vault_outage_grace,
        idle_timeout,
        absolute_timeout,
        local_cache_bytes: fixed.keep(
            "sessions.local_cache_bytes",
            local_cache_bytes,
            &running.local_cache_bytes,
        ),
        // At least the lease, as in every file; the lease itself stays unchanged.
        stream_lease: stream_lease.max(lease),
    }
}

/// Applies every key: another issuer or audience invalidates all tokens, as gateway.toml says.
fn tokens(new: Tokens) -> Tokens {
    // The algorithm applies to the next key; `doorward key rotate` creates keys.
    // Encrypted claims are in the next token of each session.
    let Tokens {
        issuer,
        audience,
        algorithm,
        access_ttl,
        refresh_grace,
        refresh_grace_unused,
        encrypted_claims,
    } = new;
    Tokens { issuer, audience, algorithm, access_ttl, refresh_grace, refresh_grace_unused, encrypted_claims }
}

fn login(new: Login, running: &Login, fixed: &mut Fixed) -> Login {
    let Login {
        peppers,
        password,
        hash_threads,
        hash_queue,
        min_password_length,
        breached_passwords,
        factor,
        passkeys,
        attempts_per_account,
        attempts_per_address,
        attempts_overall,
        failure_delay,
    } = new;
    Login {
        // The hashing threads keep theirs, and the start checks that every stored hash has its pepper.
        peppers: fixed.keep("login.peppers", peppers, &running.peppers),
        password,
        hash_threads: fixed.keep("login.hash_threads", hash_threads, &running.hash_threads),
        hash_queue: fixed.keep("login.hash_queue", hash_queue, &running.hash_queue),
        min_password_length,
        breached_passwords,
        factor,
        passkeys,
        attempts_per_account,
        attempts_per_address,
        attempts_overall,
        failure_delay,
    }
}

impl VaultUrl {
    /// Returns whether both name the same database, regardless of credentials.
    fn is_same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one == other,
            (Self::Postgres(one), Self::Postgres(other)) => {
                // The application name and the channel binding belong to the credentials.
                let PostgresUrl {
                    hosts,
                    user: _,
                    password: _,
                    database,
                    tls,
                    channel_binding: _,
                    application_name: _,
                } = one;
                (hosts, database, tls) == (&other.hosts, &other.database, &other.tls)
            }
            (Self::Sqlite(_), Self::Postgres(_)) | (Self::Postgres(_), Self::Sqlite(_)) => false,
        }
    }
}

impl SessionsUrl {
    /// Returns whether both name the same store, regardless of credentials.
    fn is_same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory, Self::Memory) => true,
            (Self::Redis(one), Self::Redis(other)) => {
                let RedisUrl { topology, user: _, password: _, database, tls } = one;
                topology.is_same_store(&other.topology) && (database, tls) == (&other.database, &other.tls)
            }
            (Self::Memory, Self::Redis(_)) | (Self::Redis(_), Self::Memory) => false,
        }
    }
}

impl RedisTopology {
    fn is_same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Single(one), Self::Single(other)) => one == other,
            (
                Self::Sentinel { hosts, master, user: _, password: _ },
                Self::Sentinel { hosts: others, master: other, user: _, password: _ },
            ) => (hosts, master) == (others, other),
            (Self::Cluster(one), Self::Cluster(other)) => one == other,
            (Self::Single(_) | Self::Sentinel { .. } | Self::Cluster(_), _) => false,
        }
    }
}
