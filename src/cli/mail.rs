//! `mail`: sends a mail to test the settings.

use std::io::Write;

use anyhow::Context as _;
use clap::Subcommand;

use crate::config::{Config, MailServer};
use crate::id::MailId;
use crate::identity::Email;
use crate::mail::{Letter, MailError, Mailer, Message};
use crate::pages::{Language, LetterTexts, Notice, Sender, letter};
use crate::server::Surroundings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a mail to an address, and print what the mail server says.
    Test {
        /// Address of the recipient.
        address: Email,
    },
}

/// Sections of the configuration that these commands read.
pub(super) const NEEDS: &[&str] = &["server", "mail", "brand"];

pub(super) async fn run(
    config: &Config,
    surroundings: &Surroundings,
    Command::Test { address }: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let settings =
        config.mail.clone().context("there is no mail server: write [mail] into the configuration")?;
    let random = surroundings.random.as_ref();
    let (id, from) = (MailId::random(random), settings.from.clone());
    let site = config.server.public_urls.first().map_or("", String::as_str);
    let sender = Sender { brand: &config.brand.name, site, language: Language::default() };
    let LetterTexts { subject, text, html } = letter(Notice::Test, sender);
    let content = Letter { sender: sender.brand, subject: &subject, text, html };
    let message = Message::new(id, surroundings.clock.wall(), &from, address, content)?;
    let place = match &settings.server {
        MailServer::Smtp { host, port, .. } => format!("{host}, port {port}"),
        MailServer::Folder(folder) => folder.display().to_string(),
    };
    match Mailer::new(settings).send(id, &message).await {
        Ok(answer) => {
            writeln!(out, "sent to `{}` by {place}: {answer}", address.as_str())?;
            Ok(())
        }
        Err(error) => match advice(&error) {
            Some(advice) => anyhow::bail!("{place}: {error}\n{advice}"),
            None => anyhow::bail!("{place}: {error}"),
        },
    }
}

/// Returns what to do about a failure.
const fn advice(error: &MailError) -> Option<&'static str> {
    Some(match error {
        MailError::Unreachable(_) | MailError::Timeout => {
            "check the host and the port of mail.url, and whether this machine may connect to it (firewall)"
        }
        MailError::Tls(_) => {
            "the certificate must be of a CA that this machine trusts, or of one in mail.ca_file, and of the host in mail.url. A server that \
             begins with TLS (port 465) needs smtps://, one without TLS mail.starttls = false"
        }
        MailError::Refused { code: 530 | 534 | 535 | 538, .. } => {
            "correct mail.username and the password, or ask the server's operator which ones it takes"
        }
        MailError::Refused { code: 550..=553, .. } => {
            "the server does not take mail from mail.from, or to this address"
        }
        MailError::Refused { .. } | MailError::Unusable(_) | MailError::Folder(_) => return None,
    })
}
