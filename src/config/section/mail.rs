//! `[mail]`: the mail server.

use std::path::{Path, PathBuf};

use crate::certificate::Authorities;
use crate::config::Env;
use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::secrets;
use crate::config::section::tls;
use crate::identity::Email;
use crate::secret::Secret;
use crate::text::host_and_port;

/// `[mail]`
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// Where mails go.
    pub server: MailServer,
    /// Address of the sender.
    pub from: Email,
    /// Name and password at the server (RFC 4954).
    pub login: Option<(String, Secret<String>)>,
    /// CAs of the server; `None` = the system trust store.
    pub authorities: Option<Authorities>,
}

/// Where mails go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailServer {
    /// A server (SMTP, RFC 5321).
    Smtp {
        /// Host name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// How the connection is secured.
        security: MailSecurity,
    },
    /// A folder, in which each mail is a file.
    Folder(PathBuf),
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the beginning (RFC 8314 section 3.3).
    Tls,
    /// STARTTLS (RFC 3207). A server without it gets no mail.
    StartTls,
    /// None.
    Clear,
}

/// Ports of submission (RFC 6409, RFC 8314) and of mail in clear.
const PORTS: [(MailSecurity, u16); 3] =
    [(MailSecurity::Tls, 465), (MailSecurity::StartTls, 587), (MailSecurity::Clear, 25)];

/// Reads `[mail]`; `None` if the table is absent.
pub(crate) fn mail(root: &Table<'_>, (dir, env): (&Path, Env<'_>)) -> Option<Mail> {
    let is_there = root.has("mail");
    let table = root.table("mail");
    if !is_there {
        return None;
    }
    let starttls = table.value("starttls").and_then(|value| value.flag());
    let server = table
        .required("url", r#"write the address of a mail server, such as url = "smtp://mail.example.com""#)
        .and_then(|value| value.parsed(|text| server(text, starttls.unwrap_or(true), dir)));
    let from = table
        .required("from", r#"write the address of the sender, such as from = "noreply@example.com""#)
        .and_then(|value| {
            value.parsed(|text| text.parse().map_err(|error| format!("{}: {error}", quoted(text))))
        });
    let username = table.value("username").and_then(|value| value.parsed(name));
    let forms = ["password", "password_file", "password_env"];
    let password = secrets::text(&table, forms, "the password", dir, env, |text| {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("this is not a password: write one line of text".to_owned());
        }
        Ok(Secret::new(text.to_owned()))
    });
    let authorities = table.value("ca_file").and_then(|value| {
        let (file, pem) = tls::pem(&table, &value, "ca_file", dir)?;
        Authorities::read(&pem).map_err(|error| tls::report(&table, "ca_file", &file, &error)).ok()
    });
    check_together(&table, server.as_ref(), forms);
    table.finish();
    Some(Mail { server: server?, from: from?, login: username.zip(password), authorities })
}

/// Reports settings that do not fit together.
fn check_together(table: &Table<'_>, server: Option<&MailServer>, forms: [&'static str; 3]) {
    let password = forms.into_iter().find(|form| table.has(form));
    match (table.has("username"), password) {
        (true, None) => {
            table.location_of("username").problem("there is no password: name its file in password_file");
        }
        (false, Some(form)) => table.location_of(form).problem("there is no user name: write it as username"),
        _ => {}
    }
    let Some(server) = server else { return };
    let problem = |name: &str, text: &str| table.location_of(name).problem(text.to_owned());
    match server {
        MailServer::Folder(_) => {
            for name in ["starttls", "username", "ca_file"] {
                if table.has(name) {
                    problem(name, "mails go to a folder, so this has no effect: remove it");
                }
            }
        }
        MailServer::Smtp { security: MailSecurity::Tls, .. } if table.has("starttls") => {
            problem("starttls", "smtps:// begins with TLS, so this has no effect: remove it");
        }
        MailServer::Smtp { security: MailSecurity::Clear, host, .. } => {
            if table.has("ca_file") {
                problem("ca_file", "starttls = false, so this has no effect: remove one of them");
            }
            if table.has("username") && !is_here(host) {
                problem(
                    "username",
                    "starttls = false would send the password in clear over the network: remove one of them",
                );
            }
        }
        MailServer::Smtp { .. } => {}
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err("this is not a user name: write 1 to 256 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the address of a server, or of a folder.
fn server(text: &str, starttls: bool, dir: &Path) -> Result<MailServer, String> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let security = match (scheme, starttls) {
        ("file", _) => return folder(rest, dir),
        ("smtps", _) => MailSecurity::Tls,
        ("smtp", true) => MailSecurity::StartTls,
        ("smtp", false) => MailSecurity::Clear,
        _ => {
            return Err(format!(
                "{} is no address of a mail server: write smtp://HOST:PORT, smtps://HOST:PORT or file:FOLDER",
                quoted(text)
            ));
        }
    };
    // The text may have a password, so it is not repeated.
    let bad = "write the host and perhaps the port alone, such as smtp://mail.example.com:587; the user name belongs into username";
    let authority = rest.strip_prefix("//").ok_or(bad)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = host_and_port(authority);
    let default = PORTS.iter().find(|(of, _)| *of == security).map_or(25, |(_, port)| *port);
    let port = match port {
        None => default,
        Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(bad)?,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(bad.to_owned());
    }
    Ok(MailServer::Smtp { host: host.to_ascii_lowercase(), port, security })
}

fn folder(text: &str, dir: &Path) -> Result<MailServer, String> {
    let folder = secrets::path(text.strip_prefix("//").unwrap_or(text), dir)?;
    if !folder.is_dir() {
        return Err(format!("`{}` is not a folder: create it, or name another one", folder.display()));
    }
    Ok(MailServer::Folder(folder))
}
