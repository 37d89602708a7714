//! `[server.tls]`: certificates of the public listener, read and found good, or said what is wrong with which file.

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
    /// At least one; the first is shown to clients that ask for no name of ours.
    pub certificates: Vec<TlsCertificate>,
    /// How long browsers are told to come back by https only; zero = not told.
    pub hsts: Duration,
    /// Who must have signed the certificates of clients; `None` = they are not asked for one.
    pub clients: Option<Clients>,
}

/// One of `server.tls.certificates`.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsCertificate {
    /// Names it is shown for: `app.example.com`, or `*.example.com` for one label below.
    pub hosts: Vec<String>,
    /// What is shown.
    pub certificate: Certificate,
    /// Whether the file of its key can be read by every user of this machine.
    pub key_is_open: bool,
}

/// One year is what ASVS 5.0 asks for (3.4.1) and browsers' lists; more than two, and a mistake outlives its maker.
const LONGEST_HSTS: Duration = Duration::from_hours(730 * 24);

const EXAMPLE: &str = r#"certificates = [{ cert_file = "tls/app.crt", key_file = "tls/app.key" }]"#;

/// Reads `[server.tls]`; `None` when the file has none, or nothing in it that could be shown.
pub(crate) fn tls(server: &Table<'_>, dir: &Path) -> Option<Tls> {
    let is_there = server.has("tls");
    let table = server.table("tls");
    if !is_there {
        return None;
    }
    drop(table.required("certificates", &format!("write {EXAMPLE}")));
    let tables = table.tables("certificates");
    let place = table.place_of("certificates");
    if table.has("certificates") && tables.is_empty() && !place.is_flawed() {
        place.problem(format!("empty, so there is nothing to show: write {EXAMPLE}"));
    }
    let mut seen: Vec<(String, usize)> = Vec::new();
    let certificates: Vec<_> =
        tables.into_iter().filter_map(|table| certificate(table, dir, &mut seen)).collect();
    let hsts = table.value("hsts").and_then(|value| {
        value.duration(
            Duration::ZERO..=LONGEST_HSTS,
            "0s tells nobody; browsers that were told keep to it that long",
        )
    });
    let clients = clients(&table, dir);
    table.finish();
    (!certificates.is_empty()).then(|| Tls { certificates, hsts: hsts.unwrap_or_default(), clients })
}

/// Whether clients are asked for a certificate, and by whom it must be signed. Asked for it without a word on who must
/// have one, everybody must.
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
        table.place_of("client_certificates").problem(
            "without client_ca_file nobody's would be believed: name the PEM file of those who sign them",
        );
    }
    let (file, pem) = authorities?;
    match Clients::read(&pem, required.unwrap_or(Some(true))?) {
        Ok(clients) => Some(clients),
        Err(error) => {
            refuse(table, "client_ca_file", &file, &error);
            None
        }
    }
}

fn certificate(table: Table<'_>, dir: &Path, seen: &mut Vec<(String, usize)>) -> Option<TlsCertificate> {
    let chain = file(&table, "cert_file", dir);
    let key = file(&table, "key_file", dir);
    let hosts = table.value("hosts").and_then(|value| {
        value.list(r#"["app.example.com"]"#, |item| Some((item.parsed(host)?, item.place().clone())))
    });
    let read = match (&chain, &key) {
        (Some((chain_file, chain)), Some((key_file, key))) => match Certificate::read(chain, key) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                let (name, file) =
                    if error.is_about_the_key() { ("key_file", key_file) } else { ("cert_file", chain_file) };
                refuse(&table, name, file, &error);
                None
            }
        },
        _ => None,
    };
    let key_is_open = key.is_some_and(|(file, _)| is_open(&file));
    let hosts = match (&read, hosts) {
        (_, Some(hosts)) if hosts.is_empty() && !table.place_of("hosts").is_flawed() => {
            table
                .place_of("hosts")
                .problem("empty: name a host, or leave it out to take the names of the certificate");
            None
        }
        (Some(certificate), Some(hosts)) => {
            for (host, place) in &hosts {
                if let Some((_, line)) = seen.iter().find(|(known, _)| known == host) {
                    place.problem(format!(
                        "{host:?} has the certificate at line {line} already: keep one of the two"
                    ));
                }
                seen.push((host.clone(), place.line()));
                if !certificate.covers(host) {
                    place.problem(format!(
                        "no client would accept this certificate for {host:?}: it is for {}",
                        list(certificate.names())
                    ));
                }
            }
            Some(hosts.into_iter().map(|(host, _)| host).collect())
        }
        (Some(certificate), None) => {
            // Others may be for the same name by an own list; then these are for the rest.
            Some(certificate.names().iter().filter(|name| host(name).is_ok()).cloned().collect())
        }
        (None, _) => None,
    };
    table.finish();
    Some(TlsCertificate { hosts: hosts?, certificate: read?, key_is_open })
}

/// A file and what is in it.
fn file(table: &Table<'_>, name: &'static str, dir: &Path) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
    let example =
        if name == "cert_file" { "cert_file = \"tls/app.crt\"" } else { "key_file = \"tls/app.key\"" };
    let value = table.required(name, &format!("write {example}"))?;
    pem(table, &value, name, dir)
}

/// The same of a value that is there.
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

/// Says what is wrong with a file.
pub(crate) fn refuse(table: &Table<'_>, name: &'static str, file: &Path, error: &CertificateError) {
    table.place_of(name).problem(format!("`{}`: {error}", file.display()));
}

/// Whether every user of this machine can read it.
fn is_open(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// A name that clients can ask for in a handshake (RFC 6066 section 3: no addresses).
fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_address = name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
    if name.contains('*') || is_address {
        return Err(format!(
            "{} is no name that a client could ask for: write app.example.com, or *.example.com for all names one label \
             below; clients that come by address are shown the first certificate",
            quoted(text)
        ));
    }
    let known = origin::host(name)?;
    Ok(if name.len() == text.len() { known } else { format!("*.{known}") })
}

/// `a, b and 3 more`
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names {
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}
