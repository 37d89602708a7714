//! What of a new configuration a running process can take, key by key.
//!
//! Every struct is taken apart to its last field, so that a new key does not compile until somebody has decided.

use super::{
    Admin, Config, Limits, Log, Login, MasterKey, PostgresUrl, RedisTopology, RedisUrl, Server, Sessions,
    SessionsUrl, Tls, Tokens, Vault, VaultUrl, defaults,
};

/// The keys that only a new process takes: a restart, or an upgrade (SIGUSR2), which loses nothing.
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
    "sessions.local_cache_bytes",
    "login.hash_threads",
    "login.hash_queue",
    "log.format",
];

/// What becomes of a new configuration in a running process.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What will be in force: the new one, but for the keys that stay as they are.
    pub config: Config,
    /// Those keys, each of [`RESTART`], in the order of the file.
    pub restart: Vec<&'static str>,
}

impl Change {
    /// From what runs to what the file says now.
    pub fn between(running: &Config, new: Config) -> Self {
        let Config {
            server: new_server,
            admin: Admin { listen, token },
            vault: new_vault,
            sessions: new_sessions,
            tokens: new_tokens,
            login: new_login,
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
            // Compiled into a snapshot, and nothing else.
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

/// The keys that differ and stay.
#[derive(Default)]
struct Fixed(Vec<&'static str>);

impl Fixed {
    /// What runs; noted where the file says otherwise.
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
        // For the next connection, and the next request.
        proxy_protocol_from,
        h2c,
        health_path,
        tls,
    } = new;
    // Each is taken. Fewer connections than are open end none at once: those that wait make room when new ones come.
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
    // Where nothing else is said they follow the addresses, which stay.
    let follows = listen != running.listen && public_urls == defaults::public_urls(&listen);
    let public_urls = if follows { defaults::public_urls(&running.listen) } else { public_urls };
    let listen = fixed.keep("server.listen", listen, &running.listen);
    let unix_mode = fixed.keep("server.unix_mode", unix_mode, &running.unix_mode);
    let redirect_listen = fixed.keep("server.redirect_listen", redirect_listen, &running.redirect_listen);
    let threads = fixed.keep("server.threads", threads, &running.threads);
    // Other certificates are shown in the next handshake; whether there are handshakes is the listener's.
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
    let Vault { url, ca_file, master_key, pool_size, prepared, statement_timeout, lease } = new;
    // Other credentials are used for new connections; another place may be another truth.
    let (url, ca_file) = if url.same_place(&running.url) {
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
    }
}

fn sessions(new: Sessions, running: &Config, fixed: &mut Fixed) -> Sessions {
    let (running, lease) = (&running.sessions, running.vault.lease);
    let Sessions {
        url,
        ca_file,
        key_prefix,
        revalidate_after,
        vault_outage_grace,
        idle_timeout,
        absolute_timeout,
        local_cache_bytes,
        stream_lease,
    } = new;
    let (url, ca_file) = if url.same_place(&running.url) {
        (url, ca_file)
    } else {
        let url = fixed.keep("sessions.url", url, &running.url);
        (url, fixed.keep("sessions.ca_file", ca_file, &running.ca_file))
    };
    Sessions {
        url,
        ca_file,
        key_prefix: fixed.keep("sessions.key_prefix", key_prefix, &running.key_prefix),
        revalidate_after,
        vault_outage_grace,
        idle_timeout,
        absolute_timeout,
        local_cache_bytes: fixed.keep(
            "sessions.local_cache_bytes",
            local_cache_bytes,
            &running.local_cache_bytes,
        ),
        // At least the lease, as in every file; and the lease is the one that stays.
        stream_lease: stream_lease.max(lease),
    }
}

/// All of it: another issuer or audience ends every token, as gateway.toml says.
fn tokens(new: Tokens) -> Tokens {
    // The algorithm is of the next key made, and keys are made by `doorward key rotate`.
    let Tokens { issuer, audience, algorithm, access_ttl, refresh_grace } = new;
    Tokens { issuer, audience, algorithm, access_ttl, refresh_grace }
}

fn login(new: Login, running: &Login, fixed: &mut Fixed) -> Login {
    let Login { hash_threads, hash_queue, min_password_length, attempts_per_account, attempts_per_address } =
        new;
    Login {
        hash_threads: fixed.keep("login.hash_threads", hash_threads, &running.hash_threads),
        hash_queue: fixed.keep("login.hash_queue", hash_queue, &running.hash_queue),
        min_password_length,
        attempts_per_account,
        attempts_per_address,
    }
}

impl VaultUrl {
    /// Whether both name one database, perhaps with other credentials.
    fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one == other,
            (Self::Postgres(one), Self::Postgres(other)) => {
                // How the connections are named and authenticated is of the credentials.
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
    /// Whether both name one store, perhaps with other credentials.
    fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory, Self::Memory) => true,
            (Self::Redis(one), Self::Redis(other)) => {
                let RedisUrl { topology, user: _, password: _, database, tls } = one;
                topology.same_place(&other.topology) && (database, tls) == (&other.database, &other.tls)
            }
            (Self::Memory, Self::Redis(_)) | (Self::Redis(_), Self::Memory) => false,
        }
    }
}

impl RedisTopology {
    fn same_place(&self, other: &Self) -> bool {
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
