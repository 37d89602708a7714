//! The configuration: `gateway.toml`, read into a mirror of the file and checked into a [`Config`] that cannot
//! be wrong. Every problem of a file is reported in one run, with its line and what to write instead.

mod change;
mod defaults;
mod effective;
mod lenient;
mod load;
mod parse;
mod section;
#[cfg(test)]
mod tests;
mod warnings;

use std::net::{IpAddr, Ipv4Addr};

pub use change::{Change, RESTART};
pub use effective::Effective;
pub use load::Reading;
pub use parse::colour::Colour;
pub use parse::problem::{Problem, Problems};
pub use parse::sources::{Digest, Source, Sources, Watch};
pub use section::brand::{Brand, Logo, LogoKind};
pub use section::browser::{Browser, SiteData};
pub use section::header_families;
pub use section::listen::ListenAddress;
pub use section::login::unusual::{Reaction, Unusual};
pub use section::login::{BadPepperId, BreachedPasswords, FactorPolicy, Login, Passkeys, Pepper, PepperId};
pub use section::mail::{Mail, MailSecurity, MailServer};
pub use section::providers::{
    BadProviderId, ClaimPath, ClientAuthentication, CreateUsers, Preset, PrivateKey, Provider, ProviderId,
    RoleRule, SignatureAlgorithm,
};
pub use section::routes::{Access, Cors, CrossOrigin, HostPattern, Route};
pub use section::server::{Admin, Limits, Server};
pub use section::stores::{
    ChannelBinding, MasterKey, PostgresUrl, RedisTopology, RedisUrl, Sessions, SessionsUrl, StoreHost, Vault,
    VaultUrl,
};
pub use section::tls::{Tls, TlsCertificate};
pub use section::tokens::{
    Algorithm, ClaimsKey, EncryptedClaim, EncryptedClaims, IdentityHeaders, Log, LogAccess, LogFormat,
    LogLevel, RecipientKey, Tokens,
};
pub use section::upstream_headers::{Encoding, Part, RequestHeaders, ResponseHeaders, Template, Variable};
pub use section::upstreams::health::{Checks, EjectAfter, Health};
pub use section::upstreams::{Scheme, Upstream, UpstreamServer, UpstreamTls};
pub use warnings::Warning;

/// Source of environment variables: `&|name| std::env::var(name).ok()`, or a table in tests.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Address used for peers of a Unix socket, which have none. `"unix:"` in a list of networks matches it. No TCP peer
/// has the unspecified address (RFC 1122 section 3.2.1.3).
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
    /// `[mail]`; `None` = no mails are sent.
    pub mail: Option<Mail>,
    /// `[[providers]]`, in order of the file.
    pub providers: Vec<Provider>,
    /// `[unusual]`
    pub unusual: Unusual,
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

/// Counts are at most a million, so they fit a `usize` on every platform.
fn usize_from(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
