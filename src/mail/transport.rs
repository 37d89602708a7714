//! The way of a message: SMTP, or a file in a folder.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use tokio::time::timeout;

use super::{MailError, Message};
use crate::config::{Mail, MailSecurity, MailServer};
use crate::id::MailId;

/// Maximum time of one step of a conversation. Servers that look a sender up first take seconds.
const STEP: Duration = Duration::from_secs(10);
/// Maximum time of a whole attempt. The lease of a claim is longer than that of all its messages.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(20);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends messages as `[mail]` says.
pub struct Mailer {
    settings: Mail,
    /// Made at the first message: reading the system's trust store takes time.
    transport: OnceLock<Transport>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("server", &self.settings.server).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Makes a mailer. Nothing is read or connected yet.
    pub const fn new(settings: Mail) -> Self {
        Self { settings, transport: OnceLock::new() }
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &Mail {
        &self.settings
    }

    /// Sends a message, on a connection of its own; returns the server's answer, or the name of the file.
    ///
    /// # Errors
    /// See [`MailError`]. After [`MailError::Timeout`] or [`MailError::Unreachable`] the server may have it.
    pub async fn send(&self, id: MailId, message: &Message) -> Result<String, MailError> {
        let address = |text: &str| {
            text.parse()
                .map_err(|error: lettre::address::AddressError| MailError::Unusable(error.to_string()))
        };
        match &self.settings.server {
            MailServer::Folder(folder) => {
                let (folder, content) = (folder.clone(), message.content.clone());
                let written = tokio::task::spawn_blocking(move || write(&folder, id, &content)).await;
                let written = written.map_err(|error| MailError::Folder(error.to_string()))?;
                written.map_err(|error| MailError::Folder(error.to_string()))
            }
            MailServer::Smtp { host, port, security } => {
                let transport = match self.transport.get() {
                    Some(transport) => transport,
                    None => {
                        let made = self.connect(host, *port, *security)?;
                        self.transport.get_or_init(|| made)
                    }
                };
                let envelope = Envelope::new(Some(address(&message.from)?), vec![address(&message.to)?]);
                let envelope = envelope.map_err(|error| MailError::Unusable(error.to_string()))?;
                let sending = transport.send_raw(&envelope, message.content.as_bytes());
                let answer = timeout(ATTEMPT, sending).await.map_err(|_| MailError::Timeout)??;
                let lines: Vec<&str> = answer.message().collect();
                Ok(format!("{} {}", answer.code(), lines.join(" ")))
            }
        }
    }

    fn connect(&self, host: &str, port: u16, security: MailSecurity) -> Result<Transport, MailError> {
        let tls = match security {
            MailSecurity::Clear => Tls::None,
            MailSecurity::Tls => Tls::Wrapper(self.tls(host)?),
            MailSecurity::StartTls => Tls::Required(self.tls(host)?),
        };
        // Whether it is one depends on `tls`, which this function sets.
        let mut builder = Transport::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .timeout(Some(STEP))
            // With the sender's domain: the name of this machine is nobody's business.
            .hello_name(ClientId::Domain(self.settings.from.domain().to_owned()));
        if let Some((name, password)) = &self.settings.login {
            builder = builder.credentials(Credentials::new(name.clone(), password.expose().clone()));
        }
        Ok(builder.build())
    }

    fn tls(&self, host: &str) -> Result<TlsParameters, MailError> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(authorities) = &self.settings.authorities {
            builder = builder.certificate_store(CertificateStore::None);
            for der in authorities.der() {
                builder = builder.add_root_certificate(Certificate::from_der(der.to_vec())?);
            }
        }
        Ok(builder.build_rustls()?)
    }
}

/// Writes a file that appears complete or not at all, and only its owner can read. The same message again is the same file.
fn write(folder: &Path, id: MailId, content: &str) -> std::io::Result<String> {
    let (file, draft) = (folder.join(format!("{id}.eml")), folder.join(format!("{id}.part")));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut opened = options.open(&draft)?;
    opened.write_all(content.as_bytes())?;
    opened.sync_all()?;
    fs::rename(&draft, &file)?;
    Ok(file.display().to_string())
}
