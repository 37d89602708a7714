//! Sign-in with a passkey alone, without a user name.
//!
//! A passkey whose device has verified its user is two factors: something one has, and a PIN, a finger or a face. It can
//! be the only proof of a sign-in, except for users whom a provider created: the provider decides whether they still may
//! sign in, so a passkey is their second factor only.

use std::sync::Arc;
use std::time::Duration;

use super::passkeys::{PasskeyPurpose, PasskeyResponse, PasskeySubject, wrong};
use super::pending::{Browser, SignInStep};
use crate::auth::sign_in::login::FirstFactor;
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, Settings, detached};
use crate::error::{FactorRefusal, Refusal};
use crate::factor::passkey::{AssertionResponse, Identification, UserVerification};
use crate::vault::UserKey;

impl Auth {
    /// Signs a user in with a passkey alone.
    ///
    /// # Errors
    /// `Factor(PasskeyWrong)`, `Factor(PasskeyUnknown)`, `Factor(PasskeyExpired)`, `Factor(PasskeyNotAlone)`;
    /// `RateLimited`, `CookieTooLarge`, `StoreUnavailable`.
    pub async fn login_with_passkey(
        self: &Arc<Self>,
        given: PasskeyResponse<'_>,
        visit: &[u8],
        browser: Browser,
        return_to: &str,
        settings: &Settings,
    ) -> Result<SignInStep, Refusal> {
        let result = self.passkey_owner(given, visit, &browser, settings).await;
        self.count_passkey(&result, None);
        let first = match result {
            Ok(first) => first,
            Err(refusal) => {
                self.count_login(refusal.code());
                return Err(refusal);
            }
        };
        let remember = browser.remember && !settings.browser_remember.is_zero();
        let browser = Browser { remember, ..browser };
        let (auth, settings, return_to) = (Arc::clone(self), settings.clone(), return_to.to_owned());
        let opening = async move { auth.open_or_wait(first, browser, &return_to, &settings).await };
        let step = detached(opening).await;
        self.count_login(step.as_ref().map_or_else(Refusal::code, |_| "ok"));
        step
    }

    /// Returns the user of a passkey that signs in alone.
    async fn passkey_owner(
        &self,
        given: PasskeyResponse<'_>,
        visit: &[u8],
        browser: &Browser,
        settings: &Settings,
    ) -> Result<FirstFactor, Refusal> {
        if !settings.passwords {
            return Err(FactorRefusal::PasskeyNotAlone.into());
        }
        let subject = PasskeySubject { purpose: PasskeyPurpose::SignIn, user: None, browser: visit };
        let challenge = self.challenge_of(given.state, &subject)?;
        // Charged before the work and refunded after a correct response. Apart from guesses of passwords: whoever locks
        // those does not lock passkeys.
        let charge = self.charge(Guesser::Passkey { address: browser.client.address }, settings).await?;
        let checked = async {
            let response = AssertionResponse::parse(given.response.as_bytes()).map_err(wrong)?;
            let found = self.at_vault(self.parts.vault.factors.passkey(response.credential_id())).await?;
            let passkey = found.ok_or(FactorRefusal::PasskeyUnknown)?;
            let by = (UserVerification::Required, Identification::ByPasskey);
            let methods = self.verify_and_spend(&passkey, &challenge, by, &response, settings).await?;
            let user = self.at_vault(self.parts.vault.users.find(&UserKey::Id(passkey.user_id))).await?;
            let user = user.filter(|user| !user.disabled).ok_or(FactorRefusal::PasskeyWrong)?;
            let links = self.at_vault(self.parts.vault.identities.of_user(user.id)).await?;
            if links.iter().any(|link| link.is_origin) {
                return Err(FactorRefusal::PasskeyNotAlone.into());
            }
            Ok(FirstFactor { user, methods, proven_ago: Duration::ZERO, part: None })
        };
        let result = checked.await;
        if !matches!(
            result,
            Err(Refusal::Factor(FactorRefusal::PasskeyWrong | FactorRefusal::PasskeyUnknown))
        ) {
            self.throttle.refund(charge);
        }
        result
    }
}
