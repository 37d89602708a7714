//! Links to set a password: asked for by a user who has forgotten it, or made by an operator.
//!
//! A link is a random token. The vault has its SHA-256, the user with the epoch, and the browser that asked. Opening it changes
//! nothing, since mail scanners open links; setting the password uses it up. It signs nobody in: a second factor is asked for at the
//! sign-in that follows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::outbox::{Draft, Letterhead, NOTICE_LIFE};
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, Revoked, Settings, detached};
use crate::error::{LinkRefusal, PasswordFault, Refusal};
use crate::id::{Random, base64url};
use crate::identity::{Email, Login};
use crate::mail::Mailer;
use crate::pages::Notice;
use crate::password::{HasherBusy, Password, Person, is_unusable_hash};
use crate::request_id;
use crate::secret::Secret;
use crate::token::{Digest, sha256};
use crate::vault::origin::{Actor, acting};
use crate::vault::{EndReason, Link, LinkPurpose, NewLink, NewMail, User, UserKey, VaultError};

/// Time for which a link can be used: a mail takes minutes at most, and who asks waits for it.
pub const LINK_LIFE: Duration = Duration::from_mins(15);
/// Maximum number of links of one purpose that a user has at one time: people ask again when a mail is late.
const MAX_LINKS: u32 = 3;
/// The same for links that anybody may ask for. Strangers cannot fill a mailbox, nor can one address use up all of them.
const MAX_RESETS: u32 = 15;
/// The same for a browser that has signed in to the account before: strangers cannot use up the owner's.
const MAX_RESETS_KNOWN: u32 = 18;
/// Requests at once for one name from one address. With the waits after them it has ten in the life of a link, so one address
/// cannot use up all links of a user.
const AT_ONCE: u32 = 3;
/// Requests whose work is done at one time. It is done after the response, which so tells nothing by its time.
pub(crate) const RESETS_AT_ONCE: usize = 16;

/// Request for a link to set a new password.
#[derive(Debug)]
pub struct ResetRequest {
    /// Login name or e-mail address, as typed. It is secret because users sometimes type their password here.
    pub name: Secret<String>,
    /// The client's address.
    pub address: IpAddr,
    /// Device cookies of the browser.
    pub devices: Vec<String>,
    /// Secret of the browser, which alone can use the link; `None` for an API client.
    pub browser: Option<String>,
    /// Head of the mail.
    pub letterhead: Letterhead,
}

/// A link as its page shows it.
#[derive(Debug)]
pub struct OpenedLink {
    /// Purpose.
    pub purpose: LinkPurpose,
    /// The user whom it is for.
    pub user: User,
    /// Minimum length of the new password in characters.
    pub min_length: usize,
}

/// New password by a link.
#[derive(Debug)]
pub struct LinkUse<'a> {
    /// Token of the link.
    pub token: &'a str,
    /// Secret of the browser.
    pub browser: Option<&'a str>,
    /// The new password, as typed.
    pub new: Password,
    /// Head of the mail about it.
    pub letterhead: Letterhead,
}

/// Returns a new token, and the link that is to be stored. It needs the user's id and who may use it.
pub fn new_link(
    random: &dyn Random,
    purpose: LinkPurpose,
    user: &User,
    browser: Option<&str>,
    life: Duration,
) -> (Secret<String>, NewLink) {
    let token = Secret::new(base64url(random.bytes::<32>()));
    let link = NewLink {
        digest: sha256(token.expose().as_bytes()),
        purpose,
        user_id: user.id,
        browser: browser.map(browser_digest),
        email: None,
        life,
        max_open: MAX_LINKS,
    };
    (token, link)
}

/// Returns the URL of a link below `base`.
pub fn link_url(base: &str, token: &Secret<String>) -> Secret<String> {
    Secret::new(format!("{base}/reset/link?token={}", token.expose()))
}

/// The browser's secret serves forms too, so its digest has a name.
fn browser_digest(secret: &str) -> Digest {
    sha256(format!("link\n{secret}").as_bytes())
}

impl Auth {
    /// Takes a request for a link. The work is done later, so response and time are the same for everybody.
    ///
    /// # Errors
    /// `RouteUnknown` where no mails are sent or no passwords sign people in; `RateLimited`, `Overloaded`, `StoreUnavailable`.
    pub async fn request_reset(
        self: &Arc<Self>,
        request: ResetRequest,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let mailer = settings.mail.clone().filter(|_| settings.passwords).ok_or(Refusal::RouteUnknown)?;
        self.vault_at_hand()?;
        // Apart from the account's bucket for passwords: requests lock nobody out, and no login name has a colon.
        let account = format!("reset:{}", request.name.expose().to_lowercase());
        let login = request.name.expose().parse::<Login>().ok();
        // A browser that has signed in to the account has a bucket of its own, which strangers cannot use up.
        let device = login.and_then(|login| self.known_device(&login, &request.devices));
        let guesser = match device {
            Some(device) => Guesser::DeviceReset { user: device.user, number: device.number },
            None => Guesser::Unknown { account: &account, address: request.address },
        };
        let mut allowed = settings.clone();
        allowed.attempts.per_account = allowed.attempts.per_account.min(AT_ONCE);
        self.charge(guesser, &allowed).await?;
        let permit = Arc::clone(&self.resets).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let (auth, settings) = (Arc::clone(self), settings.clone());
        // Whoever asks has proven nothing.
        tokio::spawn(request_id::carried(acting(Actor::Client, async move {
            if let Err(error) = auth.send_link(&request, &mailer, &settings).await {
                tracing::warn!(reason = "reset_failed", cause = %error, "a request for a new password was lost");
            }
            drop(permit);
        })));
        Ok(())
    }

    async fn send_link(
        &self,
        request: &ResetRequest,
        mailer: &Mailer,
        settings: &Settings,
    ) -> Result<(), VaultError> {
        let Some(user) = self.user_by_name(request.name.expose()).await? else { return Ok(()) };
        // A user of a provider has no password, and gets none this way: it would outlive the provider's word.
        let attributes = &user.attributes;
        let email = attributes.email().filter(|_| attributes.email_verified());
        let Some(email) = email.filter(|_| !user.disabled && !is_unusable_hash(&user.password)) else {
            tracing::info!(
                reason = "reset_refused",
                user = %user.id,
                "no link was sent: the user is disabled, or has no password or no verified e-mail address"
            );
            return Ok(());
        };
        let random = self.parts.random.as_ref();
        let browser = request.browser.as_deref();
        let (token, mut link) = new_link(random, LinkPurpose::Reset, &user, browser, LINK_LIFE);
        let device = self.known_device(&user.login, &request.devices);
        let is_known = device.is_some_and(|device| device.user == user.id && device.epoch == user.epoch);
        link.max_open = if is_known { MAX_RESETS_KNOWN } else { MAX_RESETS };
        link.email = Some(email.clone());
        let url = link_url(&request.letterhead.base, &token);
        let draft = Draft {
            kind: "reset",
            user: user.id,
            to: email,
            life: LINK_LIFE,
            notice: Notice::Reset {
                url: url.expose(),
                user: user.login.as_str(),
                is_bound: browser.is_some(),
            },
        };
        let Some(mail) = self.compose(&draft, &request.letterhead, mailer, settings) else { return Ok(()) };
        match self.parts.vault.mail.add_link(&link, Some(&mail)).await {
            Ok(true) => self.mail_written(),
            Ok(false) => {
                tracing::info!(reason = "links_used_up", user = %user.id, "no link was sent: the user has several");
            }
            // Deleted or disabled meanwhile.
            Err(VaultError::UserUnknown) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns the user with this login name, or else with this e-mail address.
    async fn user_by_name(&self, name: &str) -> Result<Option<User>, VaultError> {
        let users = &self.parts.vault.users;
        if let Ok(login) = name.parse::<Login>()
            && let Some(user) = users.find(&UserKey::Login(login)).await?
        {
            return Ok(Some(user));
        }
        match name.parse::<Email>() {
            Ok(email) => users.find(&UserKey::Email(email)).await,
            Err(_) => Ok(None),
        }
    }

    /// Returns what a link allows. Nothing is changed.
    ///
    /// # Errors
    /// `Link`, `StoreUnavailable`.
    pub async fn open_link(
        &self,
        token: &str,
        browser: Option<&str>,
        settings: &Settings,
    ) -> Result<OpenedLink, Refusal> {
        let (purpose, user, _) = self.link_of_browser(token, browser).await?;
        if !purpose.sets_password() {
            return Err(LinkRefusal::Invalid.into());
        }
        let alone = settings.password_rules.min_length;
        let factors = self.at_vault(self.parts.vault.factors.of_user(user.id)).await?;
        let min_length = settings.factor.min_password_length(alone, &user.roles, factors.is_enrolled());
        Ok(OpenedLink { purpose, user, min_length })
    }

    /// Returns what a link allows in this browser, its user, and the address that it was sent to.
    ///
    /// # Errors
    /// `Link`, `StoreUnavailable`.
    pub(super) async fn link_of_browser(
        &self,
        token: &str,
        browser: Option<&str>,
    ) -> Result<(LinkPurpose, User, Option<Email>), Refusal> {
        self.vault_at_hand()?;
        let invalid = || Refusal::from(LinkRefusal::Invalid);
        let found = self.at_vault(self.parts.vault.mail.link(sha256(token.as_bytes()))).await?;
        let Link { purpose, user_id, browser: bound, email, epoch } = found.ok_or_else(invalid)?;
        if bound.is_some() && bound != browser.map(browser_digest) {
            return Err(LinkRefusal::OtherBrowser.into());
        }
        let user = self.at_vault(self.parts.vault.users.find(&UserKey::Id(user_id))).await?;
        let user = user.filter(|user| !user.disabled && user.epoch == epoch).ok_or_else(invalid)?;
        Ok((purpose, user, email))
    }

    /// Sets a password by a link, once, and ends every session of the user. The user is not signed in.
    ///
    /// # Errors
    /// `Link`; `PasswordRejected`, which does not use the link up; `Overloaded`, `StoreUnavailable`.
    pub async fn use_link(
        self: &Arc<Self>,
        given: LinkUse<'_>,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let OpenedLink { user, min_length, .. } =
            self.open_link(given.token, given.browser, settings).await?;
        let LinkUse { token, new, letterhead, .. } = given;
        let person = Person::with(&user.login, &user.attributes);
        settings.password_rules.check(&new, person, min_length).map_err(Refusal::PasswordRejected)?;
        if self.is_breached(&new, settings).await {
            return Err(Refusal::PasswordRejected(PasswordFault::Breached));
        }
        let new = self.parts.hasher.hash(new).await.map_err(|HasherBusy| Refusal::Overloaded)?;
        let digest = sha256(token.as_bytes());
        let (auth, settings) = (Arc::clone(self), settings.clone());
        detached(async move {
            let mail = auth.password_notice(&user, &letterhead, &settings);
            let setting = auth.parts.vault.mail.set_password_by_link(digest, &new, mail.as_ref());
            let ended = auth.at_vault(setting).await?.ok_or(LinkRefusal::Invalid)?;
            auth.mail_written();
            let propagation = auth.apply_revocation(&ended, EndReason::Password).await;
            Ok(Revoked { sessions: ended.alive, is_known: true, propagation, ended: ended.sessions })
        })
        .await
    }

    /// Makes the mail that tells of a new password; `None` where no mails are sent, or without a verified address.
    pub(crate) fn password_notice(
        &self,
        user: &User,
        letterhead: &Letterhead,
        settings: &Settings,
    ) -> Option<NewMail> {
        let to = user.attributes.email().filter(|_| user.attributes.email_verified())?;
        let notice = Notice::PasswordChanged { user: user.login.as_str() };
        let draft = Draft { kind: "password_changed", user: user.id, to, life: NOTICE_LIFE, notice };
        self.compose(&draft, letterhead, settings.mail.as_ref()?, settings)
    }
}
