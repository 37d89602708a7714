//! The configuration: `gateway.toml`, read into a mirror of the file and checked into a [`Config`] that cannot
//! be wrong. Every problem of a file is reported in one run, with its line and what to write instead.

mod change;
mod defaults;
mod lenient;
mod load;
mod parse;
mod section;
#[cfg(test)]
mod tests;
mod warnings;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method};
use ipnet::IpNet;

use crate::identity::Roles;
use crate::secret::Secret;

pub use change::{Change, RESTART};
pub use load::Reading;
pub use parse::colour::Colour;
pub use parse::problem::{Problem, Problems};
pub use parse::sources::{Digest, Source, Sources, Watch};
pub use section::header_families;
pub use section::health::{Checks, EjectAfter, Health};
pub use section::listen::ListenAddress;
pub use section::tls::{Tls, TlsCertificate};
pub use section::upstreams::{Scheme, Upstream, UpstreamServer, UpstreamTls};
pub use warnings::Warning;

/// Where environment variables come from: `&|name| std::env::var(name).ok()`, or a table in tests.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Stands for every peer that comes by a Unix socket and so has no address. `"unix:"` in a list of networks means it. It is
/// nobody else's: no connection comes from the unspecified address (RFC 1122 section 3.2.1.3).
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[vault]`
    pub vault: Vault,
    /// `[sessions]`
    pub sessions: Sessions,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[login]`
    pub login: Login,
    /// `[browser]`
    pub browser: Browser,
    /// `[identity_headers]`
    pub identity_headers: IdentityHeaders,
    /// `[brand]`
    pub brand: Brand,
    /// `[log]`
    pub log: Log,
    /// `[upstreams.<name>]`, in order of name.
    pub upstreams: Vec<Upstream>,
    /// `[[routes]]`, in order of the file.
    pub routes: Vec<Route>,
}

/// `[server]`: the public listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Permission bits of Unix sockets that are made.
    pub unix_mode: u32,
    /// The exact origins served, as browsers write them: `scheme://host[:port]`, no path.
    pub public_urls: Vec<String>,
    /// Where our own endpoints are, such as `/auth`; no trailing slash.
    pub auth_prefix: String,
    /// Origins that scripts may call our endpoints from.
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether what resembles the path of a stricter route is judged by it too, on every route that does not say otherwise.
    pub strict_siblings: bool,
    /// Worker threads; 0 = one per core.
    pub threads: usize,
    /// From readiness turning off until the listeners close.
    pub lameduck: Duration,
    /// How long requests in flight may take to finish after that.
    pub drain_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
    /// `[server.limits]`
    pub limits: Limits,
    /// Plain addresses that send navigations to https.
    pub redirect_listen: Vec<ListenAddress>,
    /// Peers that name their clients by the PROXY protocol, and must.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Whether HTTP/2 with prior knowledge is taken without TLS.
    pub h2c: bool,
    /// Path that answers health checks on the public listener; `None` = no path does.
    pub health_path: Option<String>,
    /// `[server.tls]`: then every address of `listen` speaks TLS.
    pub tls: Option<Tls>,
}

/// `[server.limits]`
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_ip: usize,
    /// Request line and header fields together, in bytes.
    pub header_bytes: usize,
    /// Header fields of one request.
    pub header_fields: usize,
    /// From the first byte of a request until its header is complete.
    pub header_deadline: Duration,
    /// Bytes a second a request's body must come at, on average; 0 = whatever it takes.
    pub body_rate: u64,
    /// How long a client may take none of an answer that is there for it.
    pub send_timeout: Duration,
    /// Maximum bytes of memory held for clients that make no progress.
    pub stalled_bytes: u64,
    /// After so many the client makes a new connection.
    pub requests_per_connection: u32,
    /// Requests at a time over one HTTP/2 connection; 0 = no HTTP/2.
    pub http2_streams: u32,
}

/// `[admin]`: metrics and health, never to be reachable from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Addresses to listen on; empty = no admin listener.
    pub listen: Vec<ListenAddress>,
    /// What opens `/admin/…`; without it there is no such thing.
    pub token: Option<Secret<String>>,
}

/// `[vault]`
#[derive(Clone, Debug, PartialEq)]
pub struct Vault {
    /// Where the truth is.
    pub url: VaultUrl,
    /// Who the certificate of a Postgres must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// What seals the signing keys.
    pub master_key: MasterKey,
    /// Connections to Postgres at most, beside the one that listens.
    pub pool_size: usize,
    /// Whether statements are prepared once a connection; false behind a pooler in transaction mode.
    pub prepared: bool,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long the revocation set counts as current after the last proof from the vault.
    pub lease: Duration,
}

/// Where the vault is.
#[derive(Clone, Debug, PartialEq)]
pub enum VaultUrl {
    /// `sqlite:<file>`
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(PostgresUrl),
}

impl VaultUrl {
    /// Whether several gateways may use it: it is not a file of this machine.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// `postgres://user:password@host,host/database`
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresUrl {
    /// At least one; several are tried in turn for the primary.
    pub hosts: Vec<StoreHost>,
    /// The role.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted, and the server's certificate and name verified.
    pub tls: bool,
    /// Whether the password exchange is bound to the TLS connection (SCRAM-SHA-256-PLUS, RFC 5929 section 4).
    pub channel_binding: ChannelBinding,
    /// Name of the connections in `pg_stat_activity`; `None` = doorward.
    pub application_name: Option<String>,
}

/// Use of channel binding towards Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Where the server offers it.
    #[default]
    Prefer,
    /// A server that does not offer it is refused.
    Require,
    /// Not used, for poolers that break it.
    Disable,
}

/// A server of a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreHost {
    /// A DNS name, an IP address, or the folder of a Unix socket (Postgres).
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Where the master secret is.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterKey {
    /// `master_key` or `master_key_env`: 32 bytes, base64url.
    Value(Secret<String>),
    /// `master_key_file`: made on first start (mode 0600) with an embedded vault.
    File(PathBuf),
}

/// `[sessions]`
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Where the guest list is.
    pub url: SessionsUrl,
    /// Who the certificate of a Redis must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// What every key in Redis begins with.
    pub key_prefix: String,
    /// A confirmed session is asked for again after this; zero = on every request.
    pub recheck: Duration,
    /// How long a shared session store alone may vouch; zero = never.
    pub serve_without_vault: Duration,
    /// A session ends after this long without use.
    pub idle_timeout: Duration,
    /// A session ends this long after its login.
    pub absolute_timeout: Duration,
    /// Memory for verified tokens and confirmed sessions, in bytes.
    pub local_cache_bytes: u64,
    /// Live streams end when the revocation set has not been current for this long.
    pub stream_lease: Duration,
}

/// Where the session store is.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionsUrl {
    /// `memory:`
    Memory,
    /// `redis://…`
    Redis(RedisUrl),
}

/// `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`
#[derive(Clone, Debug, PartialEq)]
pub struct RedisUrl {
    /// Which servers, and what they are to each other.
    pub topology: RedisTopology,
    /// The ACL user; `None` is `default`.
    pub user: Option<String>,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
    /// Whether every connection is encrypted, and the servers' certificates and names verified.
    pub tls: bool,
}

/// What the servers of a Redis are to each other.
#[derive(Clone, Debug, PartialEq)]
pub enum RedisTopology {
    /// One server.
    Single(StoreHost),
    /// Sentinels that know where the master is.
    Sentinel {
        /// The Sentinels.
        hosts: Vec<StoreHost>,
        /// What they call the master.
        master: String,
        /// ACL user of the Sentinels themselves.
        user: Option<String>,
        /// Its password.
        password: Option<Secret<String>>,
    },
    /// A cluster, found from any of these.
    Cluster(Vec<StoreHost>),
}

/// `[tokens]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
    /// Of the next key made.
    pub algorithm: Algorithm,
    /// How long an access token lives, at most 1 h.
    pub access_ttl: Duration,
    /// How long the previous refresh token may be repeated.
    pub refresh_grace: Duration,
}

/// A signature algorithm for access tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// P-256.
    Es256,
    /// RSA, 2048 bits.
    Rs256,
}

/// `[login]`
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Logins that may wait for one of them before the next is turned away.
    pub hash_queue: usize,
    /// In characters, at least 8.
    pub min_password_length: usize,
    /// Failed logins allowed in a burst for one account from one address; ten times as many from everywhere.
    pub attempts_per_account: u32,
    /// Failed logins allowed in a burst from one address (IPv6: one /64); one more every second.
    pub attempts_per_address: u32,
}

/// `[browser]`: people who sign in with the form.
#[derive(Clone, Debug, PartialEq)]
pub struct Browser {
    /// Without "stay signed in", a session ends after this long without use.
    pub idle_timeout: Duration,
    /// With it, the session lives this long, used or not; zero = it is not offered.
    pub remember: Duration,
    /// The domain whose hosts share the cookies; `None` = each host has its own.
    pub cookie_domain: Option<String>,
    /// What browsers are told to delete of an origin when somebody signs out there (`Clear-Site-Data`).
    pub clear_site_data: Vec<SiteData>,
    /// Where people go after signing out: a path, or an http or https URL; `None` = a page that says so.
    pub after_sign_out: Option<String>,
}

/// What a browser keeps of an origin (W3C Clear Site Data section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// Pages and files, also those that the Back button shows.
    Cache,
    /// `localStorage`, `IndexedDB`, `CacheStorage` and service workers.
    Storage,
}

impl SiteData {
    /// As `Clear-Site-Data` has it.
    pub const fn directive(self) -> &'static str {
        match self {
            Self::Cache => "\"cache\"",
            Self::Storage => "\"storage\"",
        }
    }
}

/// `[identity_headers]`: what the app learns, and what nobody else may send.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityHeaders {
    /// The login name.
    pub user: HeaderName,
    /// The user id (`sub`).
    pub user_id: HeaderName,
    /// The roles, comma-joined and sorted.
    pub roles: HeaderName,
    /// The session id (`sid`).
    pub session: HeaderName,
}

/// `[brand]`: whose pages people see.
#[derive(Clone, Debug, PartialEq)]
pub struct Brand {
    /// Above every page and in its title.
    pub name: String,
    /// Of links and buttons in the light theme, where it can be read.
    pub accent: Colour,
    /// The same in the dark theme.
    pub accent_dark: Colour,
    /// Beside the name.
    pub logo: Option<Logo>,
    /// A style sheet that comes after ours.
    pub css: Option<Bytes>,
}

/// A picture, as its file had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// What it is.
    pub kind: LogoKind,
    /// What the file holds.
    pub bytes: Bytes,
}

/// What a logo may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoKind {
    /// `image/svg+xml`
    Svg,
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/webp`
    WebP,
}

impl LogoKind {
    /// Of a file of this kind.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// As `Content-Type` has it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least important level written.
    pub level: LogLevel,
    /// Which requests have a line.
    pub access: LogAccess,
    /// Whether that line has the client's `User-Agent`.
    pub user_agent: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Which requests have a line of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAccess {
    /// Every one.
    All,
    /// What was neither forwarded nor answered.
    Refused,
    /// None.
    None,
}

/// The least important level written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what is wrong.
    Warn,
    /// And one line per request.
    Info,
}

/// `[[routes]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, in logs.
    pub name: String,
    /// Hosts it answers for.
    pub hosts: Vec<HostPattern>,
    /// A path, `/` or segments without a trailing slash.
    pub path: String,
    /// Only that path, not what is below it.
    pub exact: bool,
    /// Methods it answers to; empty = all.
    pub methods: Vec<Method>,
    /// Who may.
    pub access: Access,
    /// The name of an upstream.
    pub upstream: String,
    /// Ask the session store on every request.
    pub fresh: bool,
    /// How long the upstream may be silent.
    pub timeout: Duration,
    /// Request body, in bytes.
    pub body_limit: u64,
    /// Whether the route's own path is taken off before forwarding.
    pub strip_prefix: bool,
    /// Whether the app sees the `Host` the client sent, or that of its server.
    pub preserve_host: bool,
    /// Whether the app is given our bearer token.
    pub forward_bearer: bool,
    /// Whether the app is told the certificate that the client has shown.
    pub forward_client_cert: bool,
    /// `Location`, `Content-Location` and `Refresh` of the app are mapped to what the client sees.
    pub rewrite_location: bool,
    /// The path of the app's cookies is mapped likewise.
    pub rewrite_cookie_path: bool,
    /// Headers of other gateways' families that the app is sent all the same.
    pub pass_headers: Vec<HeaderName>,
    /// Whether encoded slashes (`%2F`) pass.
    pub encoded_slashes: bool,
    /// What becomes of cross-origin requests that could change something and carry our cookies.
    pub cross_origin: CrossOrigin,
    /// Whether shared caches may keep responses to signed-in requests.
    pub shared_cache: bool,
    /// Whether what resembles the path of a stricter route is judged by it too: what this route would forward, and what
    /// resembles its own path.
    pub strict_siblings: bool,
    /// What happens to calls of scripts of `cors_origins`.
    pub cors: Cors,
    /// Origins whose scripts may call this route; those of the server unless the route has its own.
    pub cors_origins: Vec<String>,
}

impl Route {
    /// What the app is sent of a path on this route that loses the route's own; `None` = all of it.
    pub fn stripped<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        // Nothing is below the root that is not in it.
        (self.strip_prefix && self.path != "/").then(|| path.get(self.path.len()..).unwrap_or_default())
    }
}

/// Which hosts a route answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`: any name below, not the name itself. Held without the `*.`, lower case.
    Below(String),
    /// `app.example.com`, lower case, without port.
    Exact(String),
}

/// What becomes of a request with an unsafe method (RFC 9110 section 9.2.1), or of a WebSocket handshake, that a page of
/// another origin sends with our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossOrigin {
    /// It is refused.
    Refuse,
    /// It is refused; people who send a form so may send it once more from our own origin.
    Confirm,
    /// It is forwarded.
    Allow,
}

/// Who answers for CORS (Fetch standard) on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The app; preflights are requests like any other.
    Off,
    /// The gateway: it answers preflights, and makes responses readable that say nothing of CORS.
    Answer,
    /// The app; preflights reach it without a credential.
    Pass,
}

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; no identity is forwarded.
    Public,
    /// Everybody; identity where a good credential is present.
    Optional,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever has any of these roles.
    Roles(Roles),
}

/// Counts are at most a million, which fits everywhere.
fn usize_from(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
