//! Passkeys: requests to the browser, and the check of its responses.
//!
//! ```text
//! page:      challenge, sealed for one browser, purpose and user, goes into the form (nothing is stored)
//! response:  seal opened -> passkey looked up -> verified -> challenge spent and use stored, in one statement
//! ```

use std::net::IpAddr;
use std::time::Duration;

use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, Settings};
use crate::clock::Timestamp;
use crate::error::{FactorRefusal, Refusal};
use crate::factor::passkey::{
    Assertion, AssertionResponse, Ceremony, Challenge, Descriptor, Identification, PasskeyError,
    StoredPasskey, UserVerification,
};
use crate::id::{UserId, base64url, from_base64url};
use crate::identity::Methods;
use crate::token::sha256;
use crate::vault::{Passkey, PasskeyUse};

/// Time for which a challenge is accepted. Conditional requests have no timeout, so a page may wait for long (WebAuthn
/// section 15.1); each answered challenge is remembered for as long.
pub(crate) const CHALLENGE_LIFE: Duration = Duration::from_hours(1);

/// Purpose of a challenge. A response for one purpose is void for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasskeyPurpose {
    /// Sign-in without a user name.
    SignIn,
    /// Second step of a sign-in.
    SecondStep,
    /// More proof for a session.
    StepUp,
    /// Enrolment.
    Enrolment,
}

/// Options for the browser's call, and the sealed challenge that comes back with its response.
#[derive(Clone, Debug)]
pub struct PasskeyRequest {
    /// Options, as JSON.
    pub options: String,
    /// The sealed challenge.
    pub state: String,
}

impl PasskeyRequest {
    /// Returns options and state.
    pub fn as_parts(&self) -> (&str, &str) {
        (&self.options, &self.state)
    }
}

/// Response of the browser, as the form posts it.
#[derive(Clone, Copy, Debug)]
pub struct PasskeyResponse<'a> {
    /// The sealed challenge.
    pub state: &'a str,
    /// `credential.toJSON()`.
    pub response: &'a str,
}

/// Subject of a challenge: a user, if known, at a browser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PasskeySubject<'a> {
    /// Purpose.
    pub purpose: PasskeyPurpose,
    /// User; `None` before a sign-in.
    pub user: Option<UserId>,
    /// Binding to the browser: its visit, its waiting sign-in or its session.
    pub browser: &'a [u8],
}

impl PasskeySubject<'_> {
    /// Returns the name under which challenges are sealed: they open for this subject only.
    fn name(&self) -> String {
        let purpose = match self.purpose {
            PasskeyPurpose::SignIn => "sign-in",
            PasskeyPurpose::SecondStep => "second step",
            PasskeyPurpose::StepUp => "step-up",
            PasskeyPurpose::Enrolment => "enrolment",
        };
        let user = self.user.map(|user| user.to_string()).unwrap_or_default();
        format!("passkey challenge\n{purpose}\n{user}\n{}", base64url(self.browser))
    }
}

impl Auth {
    /// Returns the request of a sign-in without a user name; `None` where passkeys do not sign people in.
    pub fn passkey_sign_in(&self, browser: &[u8], settings: &Settings) -> Option<PasskeyRequest> {
        if !settings.passwords {
            return None;
        }
        let subject = PasskeySubject { purpose: PasskeyPurpose::SignIn, user: None, browser };
        self.request(&subject, &[], UserVerification::Required, settings)
    }

    /// Returns the request to a user with passkeys; `None` without any, or where there are none at all.
    pub(crate) fn passkey_request(
        &self,
        subject: &PasskeySubject<'_>,
        passkeys: &[Passkey],
        settings: &Settings,
    ) -> Option<PasskeyRequest> {
        if passkeys.is_empty() {
            return None;
        }
        self.request(subject, passkeys, UserVerification::Preferred, settings)
    }

    fn request(
        &self,
        subject: &PasskeySubject<'_>,
        passkeys: &[Passkey],
        user_verification: UserVerification,
        settings: &Settings,
    ) -> Option<PasskeyRequest> {
        let relying_party = settings.passkeys.as_deref()?;
        let (challenge, state) = self.new_challenge(subject);
        let ceremony = Ceremony { relying_party, challenge: &challenge, user_verification };
        Some(PasskeyRequest { options: ceremony.request_options(&descriptors(passkeys)).to_string(), state })
    }

    pub(super) fn new_challenge(&self, subject: &PasskeySubject<'_>) -> (Challenge, String) {
        let random = self.parts.random.as_ref();
        let challenge = Challenge::random(random);
        let until = (self.vault_now() + CHALLENGE_LIFE).millis().to_be_bytes();
        let plain = [&until[..], challenge.bytes()].concat();
        (challenge, base64url(self.parts.master.seal(&plain, &subject.name(), random)))
    }

    /// Opens the sealed challenge of a response.
    ///
    /// # Errors
    /// `Factor(PasskeyExpired)`, also for one of another browser, purpose or user.
    pub(super) fn challenge_of(
        &self,
        state: &str,
        subject: &PasskeySubject<'_>,
    ) -> Result<Challenge, Refusal> {
        let open = || {
            let sealed = (state.len() <= 256).then(|| from_base64url(state)).flatten()?;
            let plain = self.parts.master.open(&sealed, &subject.name()).ok()?;
            let (until, challenge) = plain.expose().split_first_chunk::<8>()?;
            let until = Timestamp::from_millis(i64::from_be_bytes(*until));
            Challenge::from_bytes(challenge).filter(|_| self.vault_now() < until)
        };
        open().ok_or(FactorRefusal::PasskeyExpired.into())
    }

    /// Checks the response of a known user's passkey. Returns its methods.
    ///
    /// # Errors
    /// `Factor(PasskeyWrong)`, `Factor(PasskeyExpired)`, `RateLimited`, `StoreUnavailable`.
    pub(crate) async fn check_passkey(
        &self,
        user: UserId,
        subject: &PasskeySubject<'_>,
        given: PasskeyResponse<'_>,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<Methods, Refusal> {
        let challenge = self.challenge_of(given.state, subject)?;
        let charge = self.charge(Guesser::Passkey { address }, settings).await.inspect_err(|refusal| {
            self.record_failure(&format!("passkey: {}", refusal.code()), Some(user), None);
        })?;
        let checked = async {
            let response = AssertionResponse::parse(given.response.as_bytes()).map_err(wrong)?;
            let found = self.at_vault(self.parts.vault.factors.passkey(response.credential_id())).await?;
            let passkey = found.filter(|passkey| passkey.user_id == user);
            let passkey = passkey.ok_or(FactorRefusal::PasskeyWrong)?;
            let by = (UserVerification::Preferred, Identification::Before);
            self.verify_and_spend(&passkey, &challenge, by, &response, settings).await
        };
        let result = checked.await;
        if !matches!(result, Err(Refusal::Factor(_))) {
            self.throttle.refund(charge);
        }
        self.count_passkey(&result, Some(user));
        result
    }

    pub(super) async fn verify_and_spend(
        &self,
        passkey: &Passkey,
        challenge: &Challenge,
        (user_verification, identification): (UserVerification, Identification),
        response: &AssertionResponse,
        settings: &Settings,
    ) -> Result<Methods, Refusal> {
        let relying_party = settings.passkeys.as_deref().ok_or(FactorRefusal::PasskeyWrong)?;
        let stored = StoredPasskey {
            credential_id: &passkey.credential_id,
            user_handle: passkey.user_id.as_bytes(),
            public_key: &passkey.public_key,
            algorithm: passkey.algorithm,
            sign_count: passkey.sign_count,
            backup_eligible: passkey.backup_eligible,
        };
        let ceremony = Ceremony { relying_party, challenge, user_verification };
        let verified = ceremony.verify_assertion(&stored, identification, response).map_err(wrong)?;
        let Assertion { sign_count, has_counter_regressed, backed_up, is_user_verified } = verified;
        let used = PasskeyUse {
            credential_id: passkey.credential_id.clone(),
            sign_count,
            backed_up,
            challenge: sha256(challenge.bytes()),
            life: CHALLENGE_LIFE,
        };
        if !self.at_vault(self.parts.vault.factors.use_passkey(&used)).await? {
            return Err(FactorRefusal::PasskeyWrong.into());
        }
        if has_counter_regressed {
            // WebAuthn section 6.1.1: a sign, and no proof. Two responses may have overtaken each other.
            tracing::warn!(
                reason = "passkey_counter",
                user = %passkey.user_id,
                stored = passkey.sign_count,
                received = sign_count,
                "the counter of a passkey did not grow: it may have been copied"
            );
        }
        Ok(methods_of(passkey.backup_eligible, is_user_verified))
    }

    pub(super) fn count_passkey<T>(&self, result: &Result<T, Refusal>, user: Option<UserId>) {
        if let Err(refusal @ (Refusal::RateLimited(_) | Refusal::Factor(_))) = result {
            self.record_failure(&format!("passkey: {}", refusal.code()), user, None);
        }
        let outcome = match result {
            Ok(_) => "ok",
            Err(Refusal::RateLimited(_)) => "rate_limited",
            Err(Refusal::Factor(_)) => "wrong",
            Err(_) => return,
        };
        self.parts.metrics.tokens.factors.with_label_values(&["passkey", outcome]).inc();
    }
}

/// Returns the refusal for a response that does not verify. The log has the fault; the client learns none of it.
#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
pub(super) fn wrong(fault: PasskeyError) -> Refusal {
    tracing::info!(reason = "passkey_refused", cause = %fault, "the response of a passkey was refused");
    FactorRefusal::PasskeyWrong.into()
}

/// Returns the methods of a passkey (RFC 8176). With a verified user they are two factors.
pub(super) const fn methods_of(backup_eligible: bool, is_user_verified: bool) -> Methods {
    let key = if backup_eligible { Methods::SOFTWARE_KEY } else { Methods::HARDWARE_KEY };
    if is_user_verified { key.with(Methods::USER_VERIFIED).with(Methods::MULTI_FACTOR) } else { key }
}

pub(super) fn descriptors(passkeys: &[Passkey]) -> Vec<Descriptor<'_>> {
    let all = passkeys.iter();
    all.map(|one| Descriptor { credential_id: &one.credential_id, transports: &one.transports }).collect()
}
