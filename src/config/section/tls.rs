//! `[server.tls]`: certificates of the public listener. The files are read and checked, and a problem names its file.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, Clients};
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::parse::secrets::path;

/// `[server.tls]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Certificates, at least one; the first is used for an unknown or missing SNI.
    pub certificates: Vec<TlsCertificate>,
    /// `max-age` of HSTS; zero = no header.
    pub hsts: Duration,
    /// CAs of client certificates; `None` = no certificate is requested.
    pub clients: Option<Clients>,
}

/// One of `server.tls.certificates`.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsCertificate {
    /// Names the certificate is used for: `app.example.com`, or `*.example.com` for one label below.
    pub hosts: Vec<String>,
    /// The certificate chain and its key.
    pub certificate: Certificate,
    /// True if every user of this machine can read the key file.
    pub is_key_world_readable: bool,
}

/// Maximum `max-age`. ASVS 5.0 (3.4.1) and browser preload lists require one year; beyond two a mistake lasts too long.
const MAX_HSTS: Duration = Duration::from_hours(730 * 24);

const EXAMPLE: &str = r#"certificates = [{ cert_file = "tls/app.crt", key_file = "tls/app.key" }]"#;

/// Reads `[server.tls]`; `None` if the table is absent or has no valid certificate.
pub(crate) fn tls(server: &Table<'_>, dir: &Path) -> Option<Tls> {
    let is_there = server.has("tls");
    let table = server.table("tls");
    if !is_there {
        return None;
    }
    drop(table.required("certificates", &format!("write {EXAMPLE}")));
    let tables = table.tables("certificates");
    let location = table.location_of("certificates");
    if table.has("certificates") && tables.is_empty() && !location.has_problem() {
        location.problem(format!("empty, so there is no certificate to serve: write {EXAMPLE}"));
    }
    let mut seen: Vec<(String, usize)> = Vec::new();
    let certificates: Vec<_> =
        tables.into_iter().filter_map(|table| certificate(table, dir, &mut seen)).collect();
    let hsts = table.value("hsts").and_then(|value| {
        value.duration(Duration::ZERO..=MAX_HSTS, "0s sends no header; browsers obey it for this long")
    });
    let clients = clients(&table, dir);
    table.finish();
    (!certificates.is_empty()).then(|| Tls { certificates, hsts: hsts.unwrap_or_default(), clients })
}

/// Reads the CAs of client certificates and whether a certificate is required. Without `client_certificates` it is.
fn clients(table: &Table<'_>, dir: &Path) -> Option<Clients> {
    let authorities =
        table.value("client_ca_file").and_then(|value| pem(table, &value, "client_ca_file", dir));
    let required = table.value("client_certificates").map(|value| {
        value.parsed(|text| match text {
            "required" => Ok(true),
            "optional" => Ok(false),
            other => {
                Err(format!("{} is neither \"required\" nor \"optional\": write one of them", quoted(other)))
            }
        })
    });
    if required.is_some() && !table.has("client_ca_file") {
        table.location_of("client_certificates").problem(
            "without client_ca_file no client certificate can be verified: name the PEM file of its CAs",
        );
    }
    let (file, pem) = authorities?;
    match Clients::read(&pem, required.unwrap_or(Some(true))?) {
        Ok(clients) => Some(clients),
        Err(error) => {
            report(table, "client_ca_file", &file, &error);
            None
        }
    }
}

fn certificate(table: Table<'_>, dir: &Path, seen: &mut Vec<(String, usize)>) -> Option<TlsCertificate> {
    let chain = file(&table, "cert_file", dir);
    let key = file(&table, "key_file", dir);
    let hosts = table.value("hosts").and_then(|value| {
        value.list(r#"["app.example.com"]"#, |item| Some((item.parsed(host)?, item.location().clone())))
    });
    let read = match (&chain, &key) {
        (Some((chain_file, chain)), Some((key_file, key))) => match Certificate::read(chain, key) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                let (name, file) =
                    if error.is_about_the_key() { ("key_file", key_file) } else { ("cert_file", chain_file) };
                report(&table, name, file, &error);
                None
            }
        },
        _ => None,
    };
    let is_key_world_readable = key.is_some_and(|(file, _)| is_world_readable(&file));
    let hosts = match (&read, hosts) {
        (_, Some(hosts)) if hosts.is_empty() && !table.location_of("hosts").has_problem() => {
            table
                .location_of("hosts")
                .problem("empty: name a host, or remove this to use the names of the certificate");
            None
        }
        (Some(certificate), Some(hosts)) => {
            for (host, location) in &hosts {
                if let Some((_, line)) = seen.iter().find(|(known, _)| known == host) {
                    location.problem(format!(
                        "{host:?} has the certificate at line {line} already: keep one of the two"
                    ));
                }
                seen.push((host.clone(), location.line()));
                if !certificate.covers(host) {
                    location.problem(format!(
                        "no client would accept this certificate for {host:?}: it is for {}",
                        list(certificate.names())
                    ));
                }
            }
            Some(hosts.into_iter().map(|(host, _)| host).collect())
        }
        (Some(certificate), None) => {
            // Another certificate may claim the same name by its own list; this one then serves the remaining names.
            Some(certificate.names().iter().filter(|name| host(name).is_ok()).cloned().collect())
        }
        (None, _) => None,
    };
    table.finish();
    Some(TlsCertificate { hosts: hosts?, certificate: read?, is_key_world_readable })
}

/// Reads a required file.
fn file(table: &Table<'_>, name: &'static str, dir: &Path) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
    let example =
        if name == "cert_file" { "cert_file = \"tls/app.crt\"" } else { "key_file = \"tls/app.key\"" };
    let value = table.required(name, &format!("write {example}"))?;
    pem(table, &value, name, dir)
}

/// Reads the file that a value names.
pub(crate) fn pem(
    table: &Table<'_>,
    value: &Value<'_>,
    name: &'static str,
    dir: &Path,
) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
    value.parsed(|text| {
        let file = path(text, dir)?;
        match table.file(name, &file) {
            Ok(bytes) => Ok((file, bytes)),
            Err(error) => Err(format!(
                "`{}` cannot be read: {error}; name a PEM file that this user can read",
                file.display()
            )),
        }
    })
}

/// Reports a problem with a file.
pub(crate) fn report(table: &Table<'_>, name: &'static str, file: &Path, error: &CertificateError) {
    table.location_of(name).problem(format!("`{}`: {error}", file.display()));
}

/// Returns whether every user of this machine can read the file.
fn is_world_readable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// Reads a name that clients can send as SNI (RFC 6066 section 3: no addresses).
fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_address = name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
    if name.contains('*') || is_address {
        return Err(format!(
            "{} is not a name that clients can request: write app.example.com, or *.example.com for all names one label \
             below; clients that connect by address get the first certificate",
            quoted(text)
        ));
    }
    let known = origin::host(name)?;
    Ok(if name.len() == text.len() { known } else { format!("*.{known}") })
}

/// Formats a list as `a, b and 3 more`.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names {
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}
