//! The proof that an e-mail address belongs to its user: a link that is sent to it.

use std::sync::Arc;

use super::outbox::{Draft, Letterhead};
use super::reset::{LINK_LIFE, new_link};
use crate::auth::{Auth, Settings, detached};
use crate::error::{LinkRefusal, Refusal};
use crate::identity::Identity;
use crate::pages::Notice;
use crate::secret::Secret;
use crate::token::sha256;
use crate::vault::{LinkPurpose, User, UserKey};

/// Request for a link to verify the address of a signed-in user.
#[derive(Debug)]
pub struct VerificationRequest {
    /// Secret of the browser, which alone can use the link; `None` for an API client.
    pub browser: Option<String>,
    /// Head of the mail.
    pub letterhead: Letterhead,
}

/// A link as its page shows it.
#[derive(Debug)]
pub struct OpenedVerification {
    /// The user whom it is for.
    pub user: User,
    /// The address that it verifies.
    pub email: String,
}

impl Auth {
    /// Sends a link to the address of a user. Nothing is sent if there is no address, or if it is verified.
    ///
    /// # Errors
    /// `RouteUnknown` where no mails are sent; `RateLimited` with three links that can be used; `StoreUnavailable`.
    pub async fn request_verification(
        self: &Arc<Self>,
        identity: &Identity,
        request: VerificationRequest,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let mailer = settings.mail.clone().ok_or(Refusal::RouteUnknown)?;
        let found = self.at_vault(self.parts.vault.users.find(&UserKey::Id(identity.user_id()))).await?;
        let user = found.ok_or(Refusal::TokenRevoked)?;
        let email = user.attributes.email().filter(|_| !user.attributes.email_verified());
        let Some(email) = email else { return Ok(()) };
        let (random, browser) = (self.parts.random.as_ref(), request.browser.as_deref());
        let (token, mut link) = new_link(random, LinkPurpose::Verification, &user, browser, LINK_LIFE);
        link.email = Some(email.clone());
        let url = Secret::new(format!("{}/email/link?token={}", request.letterhead.base, token.expose()));
        let draft = Draft {
            kind: "verification",
            user: user.id,
            to: email,
            life: LINK_LIFE,
            notice: Notice::Verification {
                url: url.expose(),
                user: user.login.as_str(),
                is_bound: browser.is_some(),
            },
        };
        let Some(mail) = self.compose(&draft, &request.letterhead, &mailer, settings) else { return Ok(()) };
        if !self.at_vault(self.parts.vault.mail.add_link(&link, Some(&mail))).await? {
            return Err(Refusal::RateLimited(LINK_LIFE));
        }
        self.mail_written();
        Ok(())
    }

    /// Returns what a link verifies. Nothing is changed.
    ///
    /// # Errors
    /// `Link`, `StoreUnavailable`.
    pub async fn open_verification(
        &self,
        token: &str,
        browser: Option<&str>,
    ) -> Result<OpenedVerification, Refusal> {
        let (purpose, user, email) = self.link_of_browser(token, browser).await?;
        match email.filter(|email| user.attributes.email() == Some(email)) {
            Some(email) if !purpose.sets_password() => {
                Ok(OpenedVerification { user, email: email.as_str().to_owned() })
            }
            _ => Err(LinkRefusal::Invalid.into()),
        }
    }

    /// Verifies an address by a link, once. Tokens with the old claim are refused until they are refreshed.
    ///
    /// # Errors
    /// `Link`, `StoreUnavailable`.
    pub async fn verify_address(self: &Arc<Self>, token: &str, browser: Option<&str>) -> Result<(), Refusal> {
        self.open_verification(token, browser).await?;
        let (auth, digest) = (Arc::clone(self), sha256(token.as_bytes()));
        detached(async move {
            let verified = auth.at_vault(auth.parts.vault.mail.verify_email_by_link(digest)).await?;
            let changed = verified.ok_or(LinkRefusal::Invalid)?;
            auth.apply(&changed.entries);
            Ok(())
        })
        .await
    }
}
