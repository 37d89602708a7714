//! The outbox: messages are sealed into the vault, and sent from there by one gateway at a time.
//!
//! ```text
//! written (with what it tells of) -> claimed (lease) -> sent
//!                                      ^   |  \-> given up (refused for good, or its time has passed)
//!                                      +---+ failed: the wait doubles, up to ten minutes
//! ```
//!
//! A gateway that dies after the server has taken a message, and before the vault knows, leaves it to be sent again: the same
//! message to the last byte, with the same `Message-ID`.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Auth, Settings};
use crate::clock::Timestamp;
use crate::id::{MailId, Random, UserId};
use crate::identity::Email;
use crate::mail::{ATTEMPT, Letter, MailError, Mailer, Message};
use crate::metrics::MailResult;
use crate::pages::{Language, LetterTexts, Notice, Sender, letter};
use crate::token::seal::MasterSecret;
use crate::vault::{ClaimedMail, MailOutcome, NewMail, VaultError};

/// Time between two looks into the outbox. What this gateway writes itself is sent at once.
const POLL: Duration = Duration::from_secs(2);
/// Messages of one claim, and its lease: longer than all of them take at most, which is 20 s each.
const BATCH: u32 = 4;
const LEASE: Duration = Duration::from_secs(120);
const _: () =
    assert!((ATTEMPT.as_secs() + SETTLE_PAUSE.as_secs() * SETTLES as u64) * (BATCH as u64) < LEASE.as_secs());
/// Wait after the first failure. It doubles with each one.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait. A mail server that comes back is noticed within it.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Time for which a notice is tried: mail servers keep undelivered mail for days too (RFC 5321 section 4.5.4.1).
pub(crate) const NOTICE_LIFE: Duration = Duration::from_hours(3 * 24);
/// Times that the result of an attempt is written before the lease decides.
const SETTLES: u32 = 3;
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// Where a mail comes from, as its reader sees it. Nothing of it is of a request's `Host`.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// One of `server.public_urls`.
    pub site: String,
    /// The same with `server.auth_prefix`.
    pub base: String,
    /// Language.
    pub language: Language,
}

/// A message to be written: what it tells, and to whom.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Stable name of what it tells of, for the log.
    pub kind: &'static str,
    /// User concerned.
    pub user: UserId,
    /// Recipient.
    pub to: &'a Email,
    /// Time for which sending is tried.
    pub life: Duration,
    /// Its content.
    pub notice: Notice<'a>,
}

/// Parts that a message is made of.
#[derive(Clone, Copy)]
pub struct Composer<'a> {
    /// Source of its id.
    pub random: &'a dyn Random,
    /// Seals it.
    pub master: &'a MasterSecret,
    /// Its date.
    pub now: Timestamp,
    /// Address of the sender.
    pub from: &'a Email,
    /// Name of the sender.
    pub brand: &'a str,
}

impl Composer<'_> {
    /// Makes a message for the outbox.
    ///
    /// # Errors
    /// [`MailError::Unusable`]: no mail server takes the address.
    pub fn compose(&self, draft: &Draft<'_>, letterhead: &Letterhead) -> Result<NewMail, MailError> {
        let id = MailId::random(self.random);
        let sender = Sender { brand: self.brand, site: &letterhead.site, language: letterhead.language };
        let LetterTexts { subject, text, html } = letter(draft.notice, sender);
        let content = Letter { sender: self.brand, subject: &subject, text, html };
        let message = Message::new(id, self.now, self.from, draft.to, content)?;
        let plain = serde_json::to_vec(&message).expect("strings serialise");
        let sealed = self.master.seal(&plain, &sealed_name(id), self.random);
        Ok(NewMail { id, kind: draft.kind, user: Some(draft.user), sealed, life: draft.life })
    }
}

impl Auth {
    /// Makes a message for the outbox; `None` if no mail server takes the address.
    pub(crate) fn compose(
        &self,
        draft: &Draft<'_>,
        letterhead: &Letterhead,
        mailer: &Mailer,
        settings: &Settings,
    ) -> Option<NewMail> {
        let composer = Composer {
            random: self.parts.random.as_ref(),
            master: &self.parts.master,
            now: self.vault_now(),
            from: &mailer.settings().from,
            brand: &settings.brand,
        };
        let made = composer.compose(draft, letterhead).map_err(|error| {
            tracing::warn!(
                reason = "mail_not_made",
                kind = draft.kind,
                user = %draft.user,
                cause = error.cause(),
                "a mail could not be made: correct the e-mail address of the user, or mail.from"
            );
        });
        made.ok()
    }

    /// Sends what this gateway has written without waiting for the next look.
    pub(crate) fn mail_written(&self) {
        self.mail_written.notify_one();
    }

    /// Sends messages that are due, at most one claim of them. Returns whether there were any.
    async fn send_due(&self, mailer: &Mailer) -> Result<bool, VaultError> {
        let mails = &self.parts.metrics.mails;
        let outbox = self.parts.vault.mail.outbox().await?;
        mails.waiting.set(i64::from(outbox.waiting));
        mails.oldest.set(i64::try_from(outbox.oldest.as_secs()).unwrap_or(i64::MAX));
        if !outbox.is_due {
            return Ok(false);
        }
        let claimed = self.parts.vault.mail.claim(BATCH, LEASE).await?;
        for mail in &claimed {
            self.send_one(mailer, mail).await;
        }
        Ok(!claimed.is_empty())
    }

    async fn send_one(&self, mailer: &Mailer, mail: &ClaimedMail) {
        let (id, kind, attempt) = (mail.id, mail.kind.as_str(), mail.attempt);
        let result = match opened(&self.parts.master, mail) {
            None => Err("it was sealed under another master key".to_owned()),
            Some(_) if mail.left.is_zero() => Err("its time has passed".to_owned()),
            Some(message) => match mailer.send(id, &message).await {
                Err(error) if error.is_final() => Err(error.cause()),
                sent => Ok(sent),
            },
        };
        let (outcome, counted) = match result {
            Ok(Ok(_)) => {
                tracing::info!(reason = "mail_sent", mail = %id, kind, attempt, "a mail was sent");
                (MailOutcome::Sent, MailResult::Sent)
            }
            Ok(Err(error)) => {
                let wait = wait_after(attempt);
                not_sent(id, kind, attempt, &error, wait);
                (MailOutcome::Failed(wait), MailResult::Failed)
            }
            Err(cause) => {
                tracing::error!(
                    reason = "mail_given_up",
                    mail = %id,
                    kind,
                    attempt,
                    cause,
                    "a mail is not sent: `doorward mail test` shows what the server says"
                );
                (MailOutcome::GivenUp, MailResult::GivenUp)
            }
        };
        self.parts.metrics.mails.attempts.of(counted).inc();
        for attempt_to_settle in 1..=SETTLES {
            let Err(error) = self.parts.vault.mail.settle(id, attempt, outcome).await else { return };
            if attempt_to_settle == SETTLES {
                tracing::warn!(
                    reason = "mail_result_lost",
                    mail = %id,
                    cause = %error,
                    "the result of a mail could not be stored: it may be sent again"
                );
                return;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }
}

fn not_sent(id: MailId, kind: &str, attempt: u32, error: &MailError, wait: Duration) {
    tracing::warn!(
        reason = "mail_not_sent",
        mail = %id,
        kind,
        attempt,
        cause = error.cause(),
        again_in_s = wait.as_secs(),
        "a mail was not sent and is tried again"
    );
}

/// Returns the wait after this many failures.
fn wait_after(attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

/// Returns the name under which a message is sealed: it opens only as itself.
fn sealed_name(id: MailId) -> String {
    format!("mail\n{id}")
}

fn opened(master: &MasterSecret, mail: &ClaimedMail) -> Option<Message> {
    let plain = master.open(&mail.sealed, &sealed_name(mail.id)).ok()?;
    serde_json::from_slice(plain.expose()).ok()
}

/// Sends the mails of the outbox, as long as a mail server is configured. It never returns.
pub async fn send_mails(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    let mut is_away = false;
    loop {
        let has_more = match settings().mail {
            None => {
                let mails = &auth.parts.metrics.mails;
                mails.waiting.set(0);
                mails.oldest.set(0);
                false
            }
            Some(mailer) => match auth.send_due(&mailer).await {
                Ok(has_more) => {
                    is_away = false;
                    has_more
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(
                            reason = "outbox_unread",
                            cause = %error,
                            "mails wait until the vault can be read"
                        );
                    }
                    is_away = true;
                    false
                }
            },
        };
        if !has_more {
            let written = auth.mail_written.notified();
            // Either way the outbox is looked into.
            let _ = tokio::time::timeout(POLL, written).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_up_to_its_bound() {
        let waits: Vec<u64> =
            [1, 2, 3, 9, 10, 40, u32::MAX].map(|attempt| wait_after(attempt).as_secs()).into();
        assert_eq!(waits, [2, 4, 8, 512, 600, 600, 600]);
    }
}
