//! Enrolment of passkeys.

use std::sync::Arc;

use super::enrol::{Enrolled, named};
use super::log_added;
use super::passkeys::{
    PasskeyPurpose, PasskeyRequest, PasskeyResponse, PasskeySubject, descriptors, methods_of, wrong,
};
use crate::auth::{Auth, Settings, detached};
use crate::error::{FactorRefusal, Refusal};
use crate::factor::passkey::{Ceremony, PasskeyUser, RegistrationResponse, UserVerification};
use crate::identity::{Identity, Methods};
use crate::vault::{Passkey, VaultError};

/// Name of a passkey whose user gave none.
const UNNAMED: &str = "Passkey";

impl Auth {
    /// Returns the request of an enrolment; `None` where there are no passkeys at all.
    pub(crate) fn passkey_enrolment(
        &self,
        subject: &PasskeySubject<'_>,
        (login, name): (&str, &str),
        passkeys: &[Passkey],
        settings: &Settings,
    ) -> Option<PasskeyRequest> {
        let (relying_party, user) = (settings.passkeys.as_deref()?, subject.user?);
        let (challenge, state) = self.new_challenge(subject);
        let user_verification = UserVerification::Preferred;
        let ceremony = Ceremony { relying_party, challenge: &challenge, user_verification };
        let user = PasskeyUser { handle: user.as_bytes(), name: login, display_name: name };
        let options = ceremony.creation_options(&settings.brand, &user, &descriptors(passkeys)).to_string();
        Some(PasskeyRequest { options, state })
    }

    /// Enrols a passkey. Returns it with recovery codes, if the user had none, and its methods.
    ///
    /// # Errors
    /// `Factor(PasskeyWrong)`, `Factor(PasskeyExpired)`, `Factor(TooMany)`, `Factor(Taken)`, `StoreUnavailable`.
    pub(crate) async fn enrol_passkey(
        self: &Arc<Self>,
        subject: &PasskeySubject<'_>,
        given: PasskeyResponse<'_>,
        name: &str,
        settings: &Settings,
    ) -> Result<(Enrolled, Methods), Refusal> {
        let relying_party = settings.passkeys.as_deref().ok_or(FactorRefusal::PasskeyWrong)?;
        let user = subject.user.ok_or(FactorRefusal::PasskeyWrong)?;
        let challenge = self.challenge_of(given.state, subject)?;
        let response = RegistrationResponse::parse(given.response.as_bytes()).map_err(wrong)?;
        let user_verification = UserVerification::Preferred;
        let ceremony = Ceremony { relying_party, challenge: &challenge, user_verification };
        let made = ceremony.verify_registration(&response).map_err(wrong)?;
        let methods = methods_of(made.backup_eligible, made.is_user_verified);
        let new = Passkey {
            credential_id: made.credential_id,
            user_id: user,
            name: named(name, UNNAMED),
            public_key: made.public_key,
            algorithm: made.algorithm.id(),
            sign_count: made.sign_count,
            transports: made.transports,
            backup_eligible: made.backup_eligible,
            backed_up: made.backed_up,
            // The vault's clock decides.
            created_at: self.vault_now(),
            used_at: None,
        };
        let auth = Arc::clone(self);
        let enrolled = detached(async move {
            auth.at_vault(auth.parts.vault.factors.add_passkey(&new)).await.map_err(|error| match error {
                VaultError::TooMany => FactorRefusal::TooMany.into(),
                VaultError::AccountTaken => FactorRefusal::Taken.into(),
                error => Refusal::from(error),
            })?;
            log_added(user, "passkey");
            Ok(Enrolled { codes: auth.first_codes(user).await? })
        });
        Ok((enrolled.await?, methods))
    }

    /// Enrols a passkey in a session.
    ///
    /// # Errors
    /// `ProofMissing` if the last proof is not recent; those of the enrolment.
    pub async fn enrol_passkey_in_session(
        self: &Arc<Self>,
        identity: &Identity,
        browser: &[u8],
        given: PasskeyResponse<'_>,
        name: &str,
        settings: &Settings,
    ) -> Result<(Enrolled, Methods), Refusal> {
        self.require_recent_proof(identity).await?;
        let user = Some(identity.user_id());
        let subject = PasskeySubject { purpose: PasskeyPurpose::Enrolment, user, browser };
        self.enrol_passkey(&subject, given, name, settings).await
    }

    /// Returns the request of an enrolment in a session, if its last proof is recent; `None` where there are no passkeys.
    ///
    /// # Errors
    /// `ProofMissing`, `StoreUnavailable`.
    pub async fn passkey_enrolment_in_session(
        &self,
        identity: &Identity,
        browser: &[u8],
        settings: &Settings,
    ) -> Result<Option<PasskeyRequest>, Refusal> {
        self.require_recent_proof(identity).await?;
        let factors = self.factors_of(identity.user_id()).await?;
        let user = Some(identity.user_id());
        let subject = PasskeySubject { purpose: PasskeyPurpose::Enrolment, user, browser };
        let login = identity.login().as_str();
        let name = identity.attributes().name().map_or(login, |name| name.as_str());
        Ok(self.passkey_enrolment(&subject, (login, name), &factors.passkeys, settings))
    }
}
