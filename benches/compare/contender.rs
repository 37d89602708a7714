//! The contenders: each a proxy in front of the same app, on one thread, checking the strongest token it supports.

mod start;
pub(crate) use start::secret;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::http;
use crate::load::{Bearer, Protocol, Target};
use crate::process::{Cores, Server};
use crate::shared::sessions::Opened;
use crate::shared::usage::{cpu_micros, resident_mib};

/// Identifier of a contender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Name {
    Upstream,
    Public,
    Local,
    Fresh,
    Embedded,
    BarePingora,
    Nginx,
    NginxLuaOpaque,
    NginxLua,
    NginxLuaCache,
    NginxAuthRequest,
    HaproxyHs256,
    HaproxyEs256,
    EnvoyJwt,
    EnvoyExtAuthz,
}

impl Name {
    pub(crate) const ALL: [Self; 15] = [
        Self::Upstream,
        Self::Public,
        Self::Local,
        Self::Fresh,
        Self::Embedded,
        Self::BarePingora,
        Self::Nginx,
        Self::NginxLuaOpaque,
        Self::NginxLua,
        Self::NginxLuaCache,
        Self::NginxAuthRequest,
        Self::HaproxyHs256,
        Self::HaproxyEs256,
        Self::EnvoyJwt,
        Self::EnvoyExtAuthz,
    ];

    /// Title in tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Upstream => "the app alone",
            Self::Public => "doorward, public route",
            Self::Local => "doorward, confirmed locally",
            Self::Fresh => "doorward, Redis every time",
            Self::Embedded => "doorward, embedded stores",
            Self::BarePingora => "bare Pingora",
            Self::Nginx => "nginx, no check",
            Self::NginxLuaOpaque => "nginx + Lua, opaque token, one GET",
            Self::NginxLua => "nginx + Lua, Redis every time",
            Self::NginxLuaCache => "nginx + Lua, shared-memory cache",
            Self::NginxAuthRequest => "nginx auth_request",
            Self::HaproxyHs256 => "HAProxy jwt_verify HS256",
            Self::HaproxyEs256 => "HAProxy jwt_verify ES256",
            Self::EnvoyJwt => "Envoy jwt_authn",
            Self::EnvoyExtAuthz => "Envoy ext_authz",
        }
    }

    /// Description of its check, including whether it notices a revocation.
    pub(crate) const fn checks(self) -> &'static str {
        match self {
            Self::Upstream | Self::Public | Self::BarePingora | Self::Nginx => "nothing",
            Self::Local => "ES256, cached; revocations pushed",
            Self::Fresh => "ES256, cached; Redis and revocations pushed",
            Self::Embedded => "ES256, cached; revocations in SQLite",
            Self::NginxLuaOpaque => "one GET of Redis",
            Self::NginxLua => "ES256, cached; Redis",
            Self::NginxLuaCache => "ES256, cached; Redis every 5 s",
            Self::NginxAuthRequest => "a service of nginx + Lua: ES256, cached; Redis",
            Self::HaproxyHs256 => "HS256 each time; no revocation",
            Self::HaproxyEs256 => "ES256 each time; no revocation",
            Self::EnvoyJwt => "ES256, cached; no revocation",
            Self::EnvoyExtAuthz => "a service of nginx + Lua: ES256, cached; Redis",
        }
    }

    /// Key in raw data.
    pub(crate) fn key(self) -> String {
        format!("{self:?}")
    }

    /// Returns true if it checks anything.
    pub(crate) const fn has_check(self) -> bool {
        !matches!(self, Self::Upstream | Self::Public | Self::BarePingora | Self::Nginx)
    }

    /// Returns true if it notices a revocation.
    pub(crate) const fn learns_of_revocations(self) -> bool {
        self.has_check() && !matches!(self, Self::HaproxyHs256 | Self::HaproxyEs256 | Self::EnvoyJwt)
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Public => "/public",
            Self::Fresh => "/fresh",
            _ => "/local",
        }
    }
}

/// CPU time spent for a contender, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// By the proxy itself.
    pub(crate) gateway: f64,
    /// By the service that the proxy queries, if any.
    pub(crate) helper: f64,
    pub(crate) redis: f64,
}

/// All processes, running all the time; an idle one costs nothing.
pub(crate) struct Field {
    folder: PathBuf,
    upstream: (Server, u16),
    checker: (Server, u16),
    redis: u32,
    proxies: Vec<Proxy>,
    pub(crate) session: Opened,
    pub(crate) embedded_session: Opened,
    pub(crate) hs256: String,
}

struct Proxy {
    /// Contenders served by this process.
    names: Vec<Name>,
    server: Server,
    port: u16,
    tls_port: Option<u16>,
}

/// Inputs for starting the contenders.
pub(crate) struct Around<'a> {
    pub(crate) cores: &'a Cores,
    pub(crate) folder: &'a Path,
    pub(crate) redis: (u16, u32),
    pub(crate) vault: String,
    pub(crate) master: String,
    pub(crate) embedded_vault: &'a Path,
    pub(crate) certificate: &'a Path,
    pub(crate) public_key: String,
    pub(crate) jwks: String,
    pub(crate) secret: String,
    /// Contenders to start; the app and contenders that share a process with one of them always start.
    pub(crate) names: &'a [Name],
    pub(crate) session: Opened,
    pub(crate) embedded_session: Opened,
}

/// The token of a session at this contender.
fn token_of(name: Name, session: &Opened) -> String {
    if name == Name::NginxLuaOpaque { session.id.to_string() } else { session.token.clone() }
}

/// Template of a contender's configuration.
fn template(name: &str) -> anyhow::Result<String> {
    let file = here().join(name);
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/contenders")
}

fn fill(text: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let filled =
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value));
    let left = filled.lines().find(|line| line.matches('@').count() > 1 && !line.contains("@type"));
    ensure!(left.is_none(), "not filled: {left:?}");
    Ok(filled)
}

impl Field {
    pub(crate) fn start(around: &Around<'_>) -> anyhow::Result<Self> {
        let upstream = around.upstream()?;
        let checker = around.nginx("checker", "checker.conf", upstream.1, 1, &around.cores.rest)?;
        let (upstream_port, checker_port) = (upstream.1, checker.port);
        let mut proxies = Vec::new();
        let wanted = |names: &[Name]| names.iter().any(|name| around.names.contains(name));
        if wanted(&[Name::Public, Name::Local, Name::Fresh]) {
            proxies.push(around.doorward(upstream_port, false, false)?);
            proxies.push(around.doorward(upstream_port, false, true)?);
        }
        if wanted(&[Name::Embedded]) {
            proxies.push(around.doorward(upstream_port, true, false)?);
        }
        if wanted(&[Name::BarePingora]) {
            proxies.push(around.bare_pingora(upstream_port)?);
        }
        for (name, check) in [
            (Name::Nginx, "check_none.conf"),
            (Name::NginxLuaOpaque, "check_opaque.conf"),
            (Name::NginxLua, "check_lua.conf"),
            (Name::NginxLuaCache, "check_lua.conf"),
            (Name::NginxAuthRequest, "check_auth_request.conf"),
        ] {
            if wanted(&[name]) {
                let mut proxy =
                    around.nginx(&name.key(), check, upstream_port, checker_port, &around.cores.gateway)?;
                proxy.names = vec![name];
                proxies.push(proxy);
            }
        }
        for name in [Name::HaproxyHs256, Name::HaproxyEs256] {
            if wanted(&[name]) {
                proxies.push(around.haproxy(name, upstream_port)?);
            }
        }
        for (name, filter) in
            [(Name::EnvoyJwt, "envoy_jwt_authn.yaml"), (Name::EnvoyExtAuthz, "envoy_ext_authz.yaml")]
        {
            if wanted(&[name]) {
                proxies.push(around.envoy(name, filter, upstream_port, checker_port)?);
            }
        }
        Ok(Self {
            folder: around.folder.to_owned(),
            upstream,
            checker: (checker.server, checker.port),
            redis: around.redis.1,
            proxies,
            session: around.session.clone(),
            embedded_session: around.embedded_session.clone(),
            hs256: crate::sessions::hs256(&around.session.token, &around.secret)?,
        })
    }

    fn proxy(&self, name: Name, tls: bool) -> anyhow::Result<&Proxy> {
        let speaks = |proxy: &Proxy| if tls { proxy.tls_port.is_some() } else { proxy.port != 0 };
        let is_it = |proxy: &&Proxy| proxy.names.contains(&name) && speaks(proxy);
        self.proxies.iter().find(is_it).with_context(|| format!("{} was not started", name.title()))
    }

    /// Load of `at_once` clients on a contender; with a file, using all tokens in it.
    pub(crate) fn target(
        &self,
        name: Name,
        protocol: Protocol,
        at_once: u32,
        large: bool,
        each: Option<&Path>,
    ) -> anyhow::Result<Target> {
        let tls = protocol != Protocol::H1;
        let port = match name {
            Name::Upstream => self.upstream.1,
            _ if tls => self.proxy(name, true)?.tls_port.context("a TLS port")?,
            _ => self.proxy(name, false)?.port,
        };
        let (scheme, file) = (if tls { "https" } else { "http" }, if large { "/large" } else { "" });
        let bearer = match each {
            Some(file) => Bearer::Each(file.to_owned()),
            None => Bearer::One(self.token(name)),
        };
        let url = format!("{scheme}://127.0.0.1:{port}{}{file}", name.path());
        Ok(Target { url, protocol, at_once, bearer: Some(bearer) })
    }

    /// The token that this contender checks.
    fn token(&self, name: Name) -> String {
        match name {
            Name::HaproxyHs256 => self.hs256.clone(),
            Name::Embedded => token_of(name, &self.embedded_session),
            _ => token_of(name, &self.session),
        }
    }

    /// CPU time spent for it so far.
    pub(crate) fn spent(&self, name: Name, protocol: Protocol) -> anyhow::Result<Spent> {
        let gateway = match name {
            Name::Upstream => self.upstream.0.id(),
            _ => self.proxy(name, protocol != Protocol::H1)?.server.id(),
        };
        let asks = matches!(name, Name::NginxAuthRequest | Name::EnvoyExtAuthz);
        Ok(Spent {
            gateway: cpu_micros(gateway)?,
            helper: if asks { cpu_micros(self.checker.0.id())? } else { 0.0 },
            // Redis serves all of them, one at a time; its other work is negligible.
            redis: if name.has_check() { cpu_micros(self.redis)? } else { 0.0 },
        })
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self, name: Name, protocol: Protocol) -> anyhow::Result<f64> {
        match name {
            Name::Upstream => resident_mib(self.upstream.0.id()),
            _ => resident_mib(self.proxy(name, protocol != Protocol::H1)?.server.id()),
        }
    }

    /// Folder for temporary files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Verifies a contender: the app receives the caller's identity, and an invalid token is refused.
    pub(crate) async fn verify(&self, name: Name) -> anyhow::Result<()> {
        let title = name.title();
        let port = if name == Name::Upstream { self.upstream.1 } else { self.proxy(name, false)?.port };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let token = self.token(name);
        let ask = async |token: Option<&str>, path: &str| {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let mut headers = vec![("X-Auth-User-Id", "mallory")];
            headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
            http::request(address, "GET", path, &headers, b"").await
        };
        for (path, length) in [("", 100), ("/large", 102_400)] {
            let path = format!("{}{path}", name.path());
            let response = ask(Some(&token), &path).await;
            ensure!(response.status == 200, "{title}: {} {path}: {}", response.status, response.text());
            ensure!(response.body.len() == length, "{title}: {} bytes", response.body.len());
        }
        if !name.has_check() {
            return Ok(());
        }
        let response = ask(Some(&token), name.path()).await;
        let session = if name == Name::Embedded { &self.embedded_session } else { &self.session };
        let user = session.user_id.to_string();
        ensure!(response.header("X-Seen-User-Id") == Some(&user), "{title}: the app saw {response:?}");
        // Another last character means another or an invalid signature: its lowest bits are padding.
        let forged =
            format!("{}{}", &token[..token.len() - 2], if token.ends_with("AA") { "BB" } else { "AA" });
        for token in [None, Some(forged.as_str()), Some("nonsense")] {
            let response = ask(token, name.path()).await;
            ensure!(matches!(response.status, 401 | 403), "{title}: {} for {token:?}", response.status);
        }
        Ok(())
    }

    /// Returns true if it accepts the token of a session.
    pub(crate) async fn admits(&self, name: Name, session: &Opened) -> anyhow::Result<bool> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.proxy(name, false)?.port));
        let bearer = format!("Bearer {}", token_of(name, session));
        let response = http::request(address, "GET", name.path(), &[("Authorization", &bearer)], b"").await;
        Ok(response.status == 200)
    }
}
