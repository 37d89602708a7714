//! Starts the contenders, each with its committed configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward::id::base64url;

use super::{Around, Name, Proxy, fill, here, template};
use crate::bare_pingora;
use crate::process::{Server, free_port, pinned};
use crate::shared::sessions::{AUDIENCE, ISSUER};

impl Around<'_> {
    fn own_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub(super) fn upstream(&self) -> anyhow::Result<(Server, u16)> {
        let (folder, port) = (self.own_folder("upstream")?, free_port()?);
        fs::write(folder.join("large.txt"), "0123456789abcdef".repeat(102_400 / 16))?;
        let values = [("PORT", &*port.to_string()), ("FOLDER", &*folder.display().to_string())];
        let command = nginx_with(&folder, &fill(&template("upstream.conf")?, &values)?, &self.cores.rest)?;
        Ok((Server::start(command, port, &folder)?, port))
    }

    pub(super) fn nginx(
        &self,
        name: &str,
        check: &str,
        upstream: u16,
        checker: u16,
        cores: &str,
    ) -> anyhow::Result<Proxy> {
        let (folder, port, tls_port) = (self.own_folder(name)?, free_port()?, free_port()?);
        let cache = if name == Name::NginxLuaCache.key() { "yes" } else { "no" };
        let check = fill(&template(check)?, &[("CACHE", cache)])?;
        let text = fill(
            &template("nginx.conf")?,
            &[
                ("CHECK", check.trim_end()),
                ("FOLDER", &folder.display().to_string()),
                ("HERE", &here().display().to_string()),
                ("PUBLIC_KEY", &self.public_key),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("REDIS", &format!("127.0.0.1:{}", self.redis.0)),
                ("UPSTREAM", &upstream.to_string()),
                ("CHECKER", &checker.to_string()),
                ("PORT", &port.to_string()),
                ("TLS_PORT", &tls_port.to_string()),
                ("CERTIFICATE", &self.certificate.display().to_string()),
                ("CERTIFICATE_KEY", &self.certificate.with_extension("key").display().to_string()),
            ],
        )?;
        let server = Server::start(nginx_with(&folder, &text, cores)?, port, &folder)?;
        Ok(Proxy { names: Vec::new(), server, port, tls_port: Some(tls_port) })
    }

    /// This program, as a proxy that only forwards.
    pub(super) fn bare_pingora(&self, upstream: u16) -> anyhow::Result<Proxy> {
        let (folder, port) = (self.own_folder("bare-pingora")?, free_port()?);
        let mut command = pinned(&self.cores.gateway, std::env::current_exe()?);
        command.arg(bare_pingora::COMMAND);
        command.args([upstream, port].map(|port| format!("127.0.0.1:{port}")));
        let server = Server::start(command, port, &folder)?;
        Ok(Proxy { names: vec![Name::BarePingora], server, port, tls_port: None })
    }

    pub(super) fn haproxy(&self, name: Name, upstream: u16) -> anyhow::Result<Proxy> {
        let (folder, port, tls_port) = (self.own_folder(&name.key())?, free_port()?, free_port()?);
        let key = folder.join("public.pem");
        fs::write(&key, pem(&self.public_key))?;
        let both = folder.join("both.pem");
        let (certificate, its_key) = (self.certificate, self.certificate.with_extension("key"));
        fs::write(&both, fs::read_to_string(certificate)? + &fs::read_to_string(its_key)?)?;
        let (algorithm, key) = match name {
            Name::HaproxyHs256 => ("HS256", self.secret.clone()),
            _ => ("ES256", key.display().to_string()),
        };
        let text = fill(
            &template("haproxy.cfg")?,
            &[
                ("PORT", &port.to_string()),
                ("TLS_PORT", &tls_port.to_string()),
                ("CERTIFICATE_AND_KEY", &both.display().to_string()),
                ("ALGORITHM", algorithm),
                ("KEY", &key),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("UPSTREAM", &upstream.to_string()),
            ],
        )?;
        let file = folder.join("haproxy.cfg");
        fs::write(&file, text)?;
        let mut command = pinned(&self.cores.gateway, program("haproxy", &["/usr/sbin"]));
        command.arg("-db").arg("-f").arg(&file);
        let server = Server::start(command, port, &folder)?;
        Ok(Proxy { names: vec![name], server, port, tls_port: Some(tls_port) })
    }

    pub(super) fn envoy(
        &self,
        name: Name,
        filter: &str,
        upstream: u16,
        checker: u16,
    ) -> anyhow::Result<Proxy> {
        let (folder, port) = (self.own_folder(&name.key())?, free_port()?);
        let text = template("envoy.yaml")?.replace("@FILTER@\n", &template(filter)?);
        let text = fill(
            &text,
            &[
                ("PORT", &port.to_string()),
                ("UPSTREAM", &upstream.to_string()),
                ("CHECKER", &checker.to_string()),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("JWKS", &self.jwks),
            ],
        )?;
        let file = folder.join("envoy.yaml");
        fs::write(&file, text)?;
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin");
        let mut command = pinned(&self.cores.gateway, program("envoy", &[&venv.display().to_string()]));
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"]).arg(&file);
        let server = Server::start(command, port, &folder)?;
        Ok(Proxy { names: vec![name], server, port, tls_port: None })
    }

    pub(super) fn doorward(&self, upstream: u16, embedded: bool, tls: bool) -> anyhow::Result<Proxy> {
        let kind = if embedded {
            "embedded"
        } else if tls {
            "shared-tls"
        } else {
            "shared"
        };
        let (folder, port) = (self.own_folder(&format!("doorward-{kind}"))?, free_port()?);
        let (vault, sessions) = if embedded {
            (format!("sqlite:{}", self.embedded_vault.display()), "memory:".to_owned())
        } else {
            (self.vault.clone(), format!("redis://127.0.0.1:{}/0", self.redis.0))
        };
        let certificate = self.certificate.display().to_string();
        let key = self.certificate.with_extension("key").display().to_string();
        let lines = format!(
            "[server.tls]\ncertificates = [{{ cert_file = \"{certificate}\", key_file = \"{key}\" }}]"
        );
        let text = fill(
            &template("gateway.toml")?,
            &[
                ("SCHEME", if tls { "https" } else { "http" }),
                ("TLS", if tls { &lines } else { "" }),
                ("PORT", &port.to_string()),
                ("UPSTREAM", &upstream.to_string()),
                ("VAULT", &vault),
                ("SESSIONS", &sessions),
                ("MASTER_KEY", &self.master),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
            ],
        )?;
        let file = folder.join("gateway.toml");
        fs::write(&file, text)?;
        let mut command = pinned(&self.cores.gateway, env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(&file).arg("serve");
        let server = Server::start(command, port, &folder)?;
        let names =
            if embedded { vec![Name::Embedded] } else { vec![Name::Public, Name::Local, Name::Fresh] };
        Ok(if tls {
            Proxy { names, server, port: 0, tls_port: Some(port) }
        } else {
            Proxy { names, server, port, tls_port: None }
        })
    }
}

fn nginx_with(folder: &Path, text: &str, cores: &str) -> anyhow::Result<Command> {
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    // Debian installs it outside the PATH, and its modules beside its own prefix.
    let mut command = pinned(cores, program("nginx", &["/usr/sbin"]));
    command.args(["-p", "/usr/share/nginx", "-c"]).arg(&file);
    Ok(command)
}

/// Path of a program: on the PATH or in one of these folders.
fn program(name: &str, places: &[&str]) -> PathBuf {
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// RFC 7468.
fn pem(public_key: &str) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----\n")
}

/// A secret for HS256.
pub(crate) fn secret(bytes: [u8; 32]) -> String {
    base64url(bytes)
}
