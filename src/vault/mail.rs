//! Messages that are sent by mail, and the links in them.
//!
//! A message is written in the transaction of what it tells of, and sent later by any gateway. A link is known by the SHA-256 of
//! its token alone.

use std::time::Duration;

use async_trait::async_trait;

use super::{Ended, UserChange, VaultError};
use crate::id::{MailId, UserId};
use crate::identity::{Email, Epoch};
use crate::secret::Secret;

/// Time for which a message that was sent or given up stays listed. Its content is deleted at once.
pub const SENT_MAIL_LIFE: Duration = Duration::from_hours(7 * 24);

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// New random id.
    pub id: MailId,
    /// Stable name of what it tells of, for the log.
    pub kind: &'static str,
    /// User concerned; the message goes with the user.
    pub user: Option<UserId>,
    /// Sender, recipient and the whole message, sealed.
    pub sealed: Vec<u8>,
    /// Time after which it is not sent any more.
    pub life: Duration,
}

/// A message that this gateway is to send, alone, until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedMail {
    /// Id.
    pub id: MailId,
    /// Stable name of what it tells of.
    pub kind: String,
    /// Sender, recipient and the whole message, sealed.
    pub sealed: Vec<u8>,
    /// Number of attempts, this one included.
    pub attempt: u32,
    /// Time until it is not sent any more; zero if that has come.
    pub left: Duration,
}

/// Result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server has it.
    Sent,
    /// The next attempt is made after this time.
    Failed(Duration),
    /// It is not sent.
    GivenUp,
}

/// Messages that are not sent yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Their number.
    pub waiting: u32,
    /// Age of the oldest one.
    pub oldest: Duration,
    /// Whether one of them is to be sent now.
    pub is_due: bool,
}

/// What a link allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// A new password for a user who has forgotten it.
    Reset,
    /// The first password of a new user.
    Invitation,
    /// The proof that an e-mail address belongs to its user.
    Verification,
}

impl LinkPurpose {
    /// Returns its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Invitation => "invitation",
            Self::Verification => "verification",
        }
    }

    /// Returns the name of the audit event of a new link.
    pub(crate) const fn event(self) -> &'static str {
        match self {
            Self::Reset => "reset_link_made",
            Self::Invitation => "invitation_made",
            Self::Verification => "verification_link_made",
        }
    }

    /// Returns whether such a link sets a password.
    pub const fn sets_password(self) -> bool {
        matches!(self, Self::Reset | Self::Invitation)
    }

    /// Reads a stored name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Reset, Self::Invitation, Self::Verification]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// A link to be stored.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// SHA-256 of its token.
    pub digest: [u8; 32],
    /// Purpose.
    pub purpose: LinkPurpose,
    /// User whom it is for.
    pub user_id: UserId,
    /// SHA-256 of the secret of the browser that asked for it; `None` if any browser may use it.
    pub browser: Option<[u8; 32]>,
    /// Address that it is sent to, which its use verifies; `None` if it is not sent.
    pub email: Option<Email>,
    /// Time for which it can be used.
    pub life: Duration,
    /// Maximum number of links of this user and purpose at one time, with this one.
    pub max_open: u32,
}

/// A link that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Purpose.
    pub purpose: LinkPurpose,
    /// User whom it is for.
    pub user_id: UserId,
    /// SHA-256 of the secret of the browser that asked for it; `None` if any browser may use it.
    pub browser: Option<[u8; 32]>,
    /// Address that it was sent to.
    pub email: Option<Email>,
    /// Epoch of the user when it was made. Another one voids it.
    pub epoch: Epoch,
}

/// The outbox, and the links.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Stores a link, and the message with it. Returns `false`, and stores nothing, if the user has too many links already.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`], also if the user is disabled.
    async fn add_link(&self, link: &NewLink, mail: Option<&NewMail>) -> Result<bool, VaultError>;
    /// Returns the link with this SHA-256 of its token; `None` if it was used, has expired, or is void.
    async fn link(&self, digest: [u8; 32]) -> Result<Option<Link>, VaultError>;
    /// Uses a link, once: sets the password, verifies the address that the link was sent to, and ends every session of the user and
    /// every other link of the user. Returns `None`, and changes nothing, if the link was used, has expired, is void, or sets no
    /// password.
    async fn set_password_by_link(
        &self,
        digest: [u8; 32],
        new: &Secret<String>,
        mail: Option<&NewMail>,
    ) -> Result<Option<Ended>, VaultError>;
    /// Uses a link, once, to verify the address that it was sent to. Returns `None`, and changes nothing, if the link was used, has
    /// expired, is void, sets a password, or if the user has another address now.
    async fn verify_email_by_link(&self, digest: [u8; 32]) -> Result<Option<Ended>, VaultError>;
    /// Changes a user as [`Users::change`](super::Users::change) does, and stores the message that tells of it.
    ///
    /// # Errors
    /// Same as there; then nothing is stored.
    async fn change_user(&self, id: UserId, change: &UserChange, mail: &NewMail)
    -> Result<Ended, VaultError>;
    /// Stores a message that tells of nothing in the vault.
    async fn add(&self, mail: &NewMail) -> Result<(), VaultError>;
    /// Returns messages that are to be sent now, at most `limit`, those first that have waited longest. Nobody else gets them for
    /// the time of `lease`.
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, VaultError>;
    /// Stores the result of an attempt. That of an attempt whose lease has ended counts only if the message was sent.
    async fn settle(&self, id: MailId, attempt: u32, outcome: MailOutcome) -> Result<(), VaultError>;
    /// Returns what is not sent yet.
    async fn outbox(&self) -> Result<Outbox, VaultError>;
}
