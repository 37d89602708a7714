//! Enrolment and removal of second factors, and recovery codes.

use std::sync::Arc;

use super::passkeys::{PasskeyPurpose, PasskeyRequest, PasskeyResponse, PasskeySubject};
use super::pending::{Browser, FinishedSignIn, Waiting};
use super::{log_added, totp_name};
use crate::auth::{Auth, Settings, detached};
use crate::error::{FactorRefusal, Refusal};
use crate::factor::recovery;
use crate::factor::totp::{Code, TotpSecret};
use crate::id::{FactorId, UserId, base64url, from_base64url};
use crate::identity::{Identity, Methods};
use crate::secret::Secret;
use crate::token::sha256;
use crate::vault::{EndReason, NewTotp, RemovedFactor, UserFactors, VaultError};

/// Maximum length of the name of a factor, in characters.
const MAX_NAME: usize = 40;

/// Recovery codes, shown once.
pub type RecoveryCodes = Vec<Secret<String>>;

/// An authenticator app to be enrolled.
#[derive(Debug)]
pub struct TotpOffer {
    /// The secret as people type it.
    pub secret: Secret<String>,
    /// Address for the QR code.
    pub uri: Secret<String>,
    /// The secret, sealed for the form.
    pub sealed: String,
}

/// Factors that can be enrolled at a sign-in that waits for one.
#[derive(Debug)]
pub struct EnrolmentOffer {
    /// Login name.
    pub login: String,
    /// An authenticator app.
    pub totp: TotpOffer,
    /// A passkey; `None` where there are none.
    pub passkey: Option<PasskeyRequest>,
}

/// Factor to be enrolled, as the form posts it.
#[derive(Clone, Copy, Debug)]
pub enum Enrolment<'a> {
    /// An authenticator app.
    Totp {
        /// The sealed secret of the offer.
        sealed: &'a str,
        /// Code of the app.
        code: &'a str,
    },
    /// A passkey.
    Passkey(PasskeyResponse<'a>),
}

/// Name of an authenticator app whose user gave none.
const UNNAMED: &str = "Authenticator";

/// An enrolled factor, and the recovery codes that were made with the first one.
#[derive(Debug)]
pub struct Enrolled {
    /// Codes, if the user had none.
    pub codes: Option<RecoveryCodes>,
}

impl Auth {
    /// Returns the factors of a user.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn factors_of(&self, user: UserId) -> Result<UserFactors, Refusal> {
        Ok(self.at_vault(self.parts.vault.factors.of_user(user)).await?)
    }

    /// Offers a new authenticator app. Nothing is stored; the offer is taken up with a code of it, in the form that shows
    /// it. `subject` is the session, or the sign-in that waits.
    pub fn offer_totp(&self, user: UserId, login: &str, subject: &[u8], settings: &Settings) -> TotpOffer {
        let random = self.parts.random.as_ref();
        self.offer(&TotpSecret::random(random), user, login, subject, settings)
    }

    /// Offers the same authenticator app again, after a wrong code. `None` if `sealed` is not of this form.
    pub fn offer_totp_again(
        &self,
        sealed: &str,
        user: UserId,
        login: &str,
        subject: &[u8],
        settings: &Settings,
    ) -> Option<TotpOffer> {
        let secret = self.offered(sealed, user, subject)?;
        Some(self.offer(&secret, user, login, subject, settings))
    }

    fn offer(
        &self,
        secret: &TotpSecret,
        user: UserId,
        login: &str,
        subject: &[u8],
        settings: &Settings,
    ) -> TotpOffer {
        let name = offer_name(user, subject);
        let sealed = self.parts.master.seal(secret.bytes(), &name, self.parts.random.as_ref());
        TotpOffer {
            secret: secret.base32(),
            uri: secret.uri(&settings.brand, login),
            sealed: base64url(sealed),
        }
    }

    fn offered(&self, sealed: &str, user: UserId, subject: &[u8]) -> Option<TotpSecret> {
        let sealed = (sealed.len() <= 256).then(|| from_base64url(sealed)).flatten()?;
        let plain = self.parts.master.open(&sealed, &offer_name(user, subject)).ok()?;
        TotpSecret::from_bytes(plain.expose())
    }

    /// Enrols an offered authenticator app, with a code of it.
    ///
    /// # Errors
    /// `Factor(CodeWrong)`, also if `sealed` is not of this form; `Factor(TooMany)`; `StoreUnavailable`.
    pub(crate) async fn enrol_totp(
        self: &Arc<Self>,
        user: UserId,
        subject: &[u8],
        sealed: &str,
        code: &str,
        name: &str,
    ) -> Result<Enrolled, Refusal> {
        let secret = self.offered(sealed, user, subject);
        let (secret, code) = secret.zip(Code::parse(code)).ok_or(FactorRefusal::CodeWrong)?;
        let step = secret.step_of(&code, i64::MIN, self.vault_now()).ok_or(FactorRefusal::CodeWrong)?;
        let random = self.parts.random.as_ref();
        let id = id_of(&secret);
        let sealed = self.parts.master.seal(secret.bytes(), &totp_name(user, id), random);
        let new = NewTotp { id, user_id: user, name: named(name, UNNAMED), sealed, step };
        let auth = Arc::clone(self);
        detached(async move {
            auth.at_vault(auth.parts.vault.factors.add_totp(&new)).await.map_err(|error| match error {
                VaultError::TooMany => FactorRefusal::TooMany.into(),
                // The form was sent twice: its code was used.
                VaultError::AccountTaken => FactorRefusal::CodeWrong.into(),
                error => Refusal::from(error),
            })?;
            log_added(user, "totp");
            Ok(Enrolled { codes: auth.first_codes(user).await? })
        })
        .await
    }

    /// Makes recovery codes for a user who has none.
    pub(crate) async fn first_codes(&self, user: UserId) -> Result<Option<RecoveryCodes>, Refusal> {
        let has_codes = self.factors_of(user).await?.recovery_codes > 0;
        if has_codes { Ok(None) } else { self.new_codes(user).await.map(Some) }
    }

    /// Enrols an authenticator app in a session.
    ///
    /// # Errors
    /// `ProofMissing` if the last proof is not recent; those of the enrolment.
    pub async fn enrol_totp_in_session(
        self: &Arc<Self>,
        identity: &Identity,
        sealed: &str,
        code: &str,
        name: &str,
    ) -> Result<Enrolled, Refusal> {
        self.require_recent_proof(identity).await?;
        let subject = identity.session_id();
        self.enrol_totp(identity.user_id(), subject.as_bytes(), sealed, code, name).await
    }

    /// Returns a sign-in that waits for an enrolment. Whoever has a factor, also since the sign-in began, proves that one:
    /// the password alone adds no other.
    ///
    /// # Errors
    /// `Factor(CodeMissing)`; those of [`Auth::waiting`].
    async fn enrolling(&self, secret: &str) -> Result<Waiting, Refusal> {
        let waiting = self.waiting(secret).await?;
        if !waiting.contents.enrols {
            return Err(FactorRefusal::CodeMissing.into());
        }
        if self.factors_of(waiting.user.id).await?.is_enrolled() {
            return Err(FactorRefusal::SignInLost.into());
        }
        Ok(waiting)
    }

    /// Offers factors to a user whose sign-in waits for the enrolment. With `again` the authenticator app is the same.
    ///
    /// # Errors
    /// `Factor(CodeMissing)` if it waits for a code; `Factor(SignInLost)`; `StoreUnavailable`.
    pub async fn enrolment_at_sign_in(
        &self,
        secret: &str,
        again: Option<&str>,
        settings: &Settings,
    ) -> Result<EnrolmentOffer, Refusal> {
        let waiting = self.enrolling(secret).await?;
        let (user, login) = (waiting.user.id, waiting.user.login.to_string());
        let again =
            again.and_then(|sealed| self.offer_totp_again(sealed, user, &login, &waiting.digest, settings));
        let totp = again.unwrap_or_else(|| self.offer_totp(user, &login, &waiting.digest, settings));
        let purpose = PasskeyPurpose::Enrolment;
        let subject = PasskeySubject { purpose, user: Some(user), browser: &waiting.digest };
        let name = waiting.user.attributes.name().map_or(login.as_str(), |name| name.as_str());
        let passkey = self.passkey_enrolment(&subject, (&login, name), &[], settings);
        Ok(EnrolmentOffer { totp, passkey, login })
    }

    /// Enrols a factor and ends the sign-in that waits for it.
    ///
    /// # Errors
    /// Those of the enrolment, and of [`Auth::finish_sign_in`].
    pub async fn enrol_at_sign_in(
        self: &Arc<Self>,
        secret: &str,
        enrolment: Enrolment<'_>,
        name: &str,
        browser: Browser,
        settings: &Settings,
    ) -> Result<(FinishedSignIn, Option<RecoveryCodes>), Refusal> {
        let waiting = self.enrolling(secret).await?;
        let user = waiting.user.id;
        let (enrolled, methods) = match enrolment {
            Enrolment::Totp { sealed, code } => {
                (self.enrol_totp(user, &waiting.digest, sealed, code, name).await?, Methods::CODE)
            }
            Enrolment::Passkey(given) => {
                let purpose = PasskeyPurpose::Enrolment;
                let subject = PasskeySubject { purpose, user: Some(user), browser: &waiting.digest };
                self.enrol_passkey(&subject, given, name, settings).await?
            }
        };
        let finished = self.end_wait(waiting, methods, browser, settings).await?;
        Ok((finished, enrolled.codes))
    }

    /// Makes new recovery codes; the ones before are void.
    ///
    /// # Errors
    /// `ProofMissing` if the last proof is not recent; `Factor(NotEnrolled)` without a second factor;
    /// `StoreUnavailable`.
    pub async fn new_recovery_codes(self: &Arc<Self>, identity: &Identity) -> Result<RecoveryCodes, Refusal> {
        self.require_recent_proof(identity).await?;
        if !self.factors_of(identity.user_id()).await?.is_enrolled() {
            return Err(FactorRefusal::NotEnrolled.into());
        }
        self.new_codes(identity.user_id()).await
    }

    async fn new_codes(&self, user: UserId) -> Result<RecoveryCodes, Refusal> {
        let codes = recovery::generate(self.parts.random.as_ref());
        let digests: Vec<[u8; 32]> =
            codes.iter().filter_map(|code| recovery::digest(user, code.expose())).collect();
        self.at_vault(self.parts.vault.factors.set_recovery_codes(user, &digests)).await?;
        tracing::info!(reason = "recovery_codes_made", user = %user, "recovery codes were made for a user");
        Ok(codes)
    }

    /// Removes a factor of the user, and ends the other sessions: they may be those of whoever made that necessary.
    ///
    /// # Errors
    /// `ProofMissing` if the last proof is not recent; `Factor(Unknown)`; `Factor(Last)` if `login.factor` needs one;
    /// `StoreUnavailable`.
    pub async fn remove_factor(
        self: &Arc<Self>,
        identity: &Identity,
        factor: RemovedFactor,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        self.require_recent_proof(identity).await?;
        let (user, keep) = (identity.user_id(), identity.session_id());
        let needs_one = settings.factor.applies_to(identity.roles());
        let auth = Arc::clone(self);
        detached(async move {
            let removed = auth.parts.vault.factors.remove(user, &factor, Some(keep), needs_one);
            let ended = auth.at_vault(removed).await.map_err(|error| match error {
                VaultError::UserUnknown => FactorRefusal::Unknown.into(),
                VaultError::LastWay => FactorRefusal::Last.into(),
                error => Refusal::from(error),
            })?;
            auth.apply_revocation(&ended, EndReason::Factor).await;
            tracing::info!(reason = "factor_removed", user = %user, "a user removed a second factor");
            Ok(())
        })
        .await
    }
}

/// Returns the id of an authenticator app: one for each secret, so that no secret is enrolled twice and its codes work once.
fn id_of(secret: &TotpSecret) -> FactorId {
    let digest = sha256(&[b"id of an authenticator app", secret.bytes()].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    FactorId::from_bytes(id)
}

/// Returns a name to store: without control characters, not too long, never empty.
pub(super) fn named(typed: &str, unnamed: &str) -> String {
    let plain: String = typed.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let plain = plain.trim();
    if plain.is_empty() { unnamed.to_owned() } else { plain.to_owned() }
}

/// Returns the name under which an offered secret is sealed: it opens only for this user and session.
fn offer_name(user: UserId, subject: &[u8]) -> String {
    format!("TOTP offer\n{user}\n{}", base64url(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_factor_is_short_plain_text() {
        assert_eq!(named("  Ada's phone\n", UNNAMED), "Ada's phone");
        assert_eq!(named(" \t", UNNAMED), "Authenticator");
        assert_eq!(named(&"é".repeat(100), UNNAMED).chars().count(), MAX_NAME);
    }
}
