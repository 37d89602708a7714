//! Second factors: the use cases on top of `factor`, which computes codes and verifies passkeys.
//!
//! ```text
//! sign-in:  first factor -> second one enrolled, or needed? -> wait (in the vault, bound to the browser) -> code -> session
//! step-up:  session -> code, password or provider -> session in its place, with more methods and a new auth_time
//! enrol:    secret shown -> code of it -> stored, with recovery codes if there are none
//! ```
//!
//! A code is charged in the vault and the session store before it is checked, and each works once in the vault: many
//! gateways, many cookies and many parallel requests are one counter.

use std::net::IpAddr;
use std::time::Duration;

use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, Settings};
use crate::error::{FactorRefusal, Refusal};
use crate::factor::recovery;
use crate::factor::totp::{Code, TotpSecret};
use crate::id::{FactorId, UserId};
use crate::identity::{Identity, Methods, RequiredProof};
use crate::metrics::{Pattern, ThrottleScope};
use crate::vault::{TryRate, User, UserFactors};

pub(crate) mod enrol;
mod enrol_passkey;
mod passkey_sign_in;
pub(crate) mod passkeys;
pub(crate) mod pending;
pub(crate) mod step_up;

/// Tries of codes for one user by unknown clients: ten at once, then one each quarter of an hour, and no more than a hundred in
/// a row (NIST SP 800-63B-4 section 3.2.2; [`Guesser::Codes`]). Only somebody who has proven the first factor can use them
/// up, and known browsers and sessions have their own. A guess succeeds with a chance of three in a million.
const TRIES: TryRate = TryRate { interval: Duration::from_mins(15), burst: 10 };

/// Second step that a sign-in needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecondStep {
    /// None. `has_passkey`: whether the user has one, or has used one just now.
    Nothing {
        /// Whether there is one.
        has_passkey: bool,
    },
    /// None yet, but the user has to enrol a factor soon.
    Notice,
    /// A code or a passkey.
    Code,
    /// The enrolment of a factor.
    Enrolment,
}

impl Auth {
    /// Returns the second step for a user who has proven `methods`.
    pub(crate) async fn second_step(
        &self,
        user: &User,
        methods: Methods,
        settings: &Settings,
    ) -> Result<SecondStep, Refusal> {
        if methods.contains(Methods::MULTI_FACTOR) {
            return Ok(SecondStep::Nothing { has_passkey: true });
        }
        let factors = self.at_vault(self.parts.vault.factors.of_user(user.id)).await?;
        if factors.is_enrolled() {
            return Ok(SecondStep::Code);
        }
        if !settings.factor.applies_to(&user.roles) {
            return Ok(SecondStep::Nothing { has_passkey: false });
        }
        let grace = settings.factor.grace;
        let left = self.at_vault(self.parts.vault.factors.require(user.id, grace)).await?;
        Ok(if left.is_zero() { SecondStep::Enrolment } else { SecondStep::Notice })
    }

    /// Returns who gives a code at a sign-in: a browser that has signed in to this account before, or anybody.
    pub(crate) fn code_guesser(&self, user: &User, devices: &[String]) -> Guesser<'static> {
        let device = self.known_device(&user.login, devices);
        match device.filter(|device| device.user == user.id && device.epoch == user.epoch) {
            Some(device) => Guesser::DeviceCodes { user: user.id, number: device.number },
            None => Guesser::Codes { user: user.id, epoch: user.epoch },
        }
    }

    /// Checks a code of an authenticator app, or a recovery code.
    ///
    /// # Errors
    /// `Factor(CodeWrong)`, `RateLimited`, `StoreUnavailable`.
    pub(crate) async fn check_code(
        &self,
        user: UserId,
        typed: &str,
        guesser: Guesser<'static>,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let (code, recovery) = (Code::parse(typed), recovery::digest(user, typed));
        let kind = if code.is_some() { "totp" } else { "recovery_code" };
        let checked = match (code, recovery) {
            // Text that is no code at all costs no try.
            (None, None) => Ok(false),
            // Nobody guesses 80 random bits. Whoever knows the password and uses the tries of codes up leaves the owner these.
            (None, Some(digest)) => self.check_recovery_code(user, digest, address, settings).await,
            (Some(code), _) => self.check_totp(user, &code, guesser, settings).await,
        };
        let outcome = match &checked {
            Ok(true) => "ok",
            Ok(false) => "wrong",
            Err(Refusal::RateLimited(_)) => "rate_limited",
            Err(_) => "",
        };
        if !outcome.is_empty() {
            self.parts.metrics.tokens.factors.with_label_values(&[kind, outcome]).inc();
        }
        match outcome {
            "wrong" => self.record_failure("code_wrong", Some(user), None),
            "rate_limited" => self.record_failure("code_rate_limited", Some(user), None),
            _ => {}
        }
        if !checked? {
            return Err(FactorRefusal::CodeWrong.into());
        }
        self.throttle.forget(guesser, settings.attempts);
        // A success of a known browser tells nothing about those who guess elsewhere.
        let is_of_strangers = kind == "recovery_code" || matches!(guesser, Guesser::Codes { .. });
        if is_of_strangers
            && let Err(error) = self.at_vault(self.parts.vault.factors.forget_tries(user)).await
        {
            tracing::debug!(%error, "the tries of a correct code still count");
        }
        Ok(())
    }

    async fn check_recovery_code(
        &self,
        user: UserId,
        digest: [u8; 32],
        address: IpAddr,
        settings: &Settings,
    ) -> Result<bool, Refusal> {
        let charge = self.charge(Guesser::RecoveryCode { address }, settings).await?;
        let used = self.at_vault(self.parts.vault.factors.use_recovery_code(user, digest)).await;
        if !matches!(used, Ok(false)) {
            self.throttle.refund(charge);
        }
        Ok(used?)
    }

    /// Checks a code of an authenticator app. A wrong one stays charged; the caller forgets the failures after a right one.
    async fn check_totp(
        &self,
        user: UserId,
        code: &Code,
        guesser: Guesser<'static>,
        settings: &Settings,
    ) -> Result<bool, Refusal> {
        let charge = self.charge(guesser, settings).await.inspect_err(|refusal| {
            if matches!((refusal, guesser), (Refusal::RateLimited(_), Guesser::Codes { .. })) {
                tracing::warn!(
                    reason = "codes_exhausted",
                    user = %user,
                    "a hundred wrong codes in a row after the right password: others may know it; set a new password for the user, or \
                     run `doorward user unlock` if it was the user"
                );
            }
        })?;
        let checked = async {
            if matches!(guesser, Guesser::Codes { .. })
                && let Some(wait) = self.at_vault(self.parts.vault.factors.charge_try(user, TRIES)).await?
            {
                self.parts.metrics.tokens.throttled.of(ThrottleScope::Code).inc();
                self.parts.metrics.requests.unusual.of(Pattern::CodeGuessing).inc();
                return Err(Refusal::RateLimited(wait));
            }
            self.use_totp(user, code).await
        };
        let result = checked.await;
        // Only a wrong code counts, not one that was not looked at.
        if result.is_err() {
            self.throttle.refund(charge);
        }
        result
    }

    /// Accepts a code of one of the user's authenticator apps, once.
    async fn use_totp(&self, user: UserId, code: &Code) -> Result<bool, Refusal> {
        let UserFactors { totp, now, .. } = self.at_vault(self.parts.vault.factors.of_user(user)).await?;
        for app in totp {
            let plain = self.parts.master.open(&app.sealed, &totp_name(user, app.id));
            let secret = plain.ok().and_then(|plain| TotpSecret::from_bytes(plain.expose()));
            let Some(secret) = secret else {
                tracing::warn!(
                    reason = "factor_unreadable",
                    user = %user,
                    "the secret of an authenticator app was sealed under another master secret: remove it with `doorward user factors`"
                );
                continue;
            };
            if let Some(step) = secret.step_of(code, app.last_step, now) {
                return Ok(self.at_vault(self.parts.vault.factors.use_totp(user, app.id, step)).await?);
            }
        }
        Ok(false)
    }

    /// Checks that a session may change how its user signs in: its last active proof is recent, and is one of two factors
    /// if the user has a second one. Otherwise the password and an old session could add a factor and remove the owner's.
    ///
    /// # Errors
    /// `ProofMissing`, `StoreUnavailable`.
    pub async fn require_recent_proof(&self, identity: &Identity) -> Result<(), Refusal> {
        let multi_factor = self.factors_of(identity.user_id()).await?.is_enrolled();
        let required = RequiredProof { multi_factor, max_age: Some(super::FRESH) };
        if required.is_met_by(&identity.proof(), self.vault_now()) {
            return Ok(());
        }
        Err(Refusal::ProofMissing { multi_factor, max_age: required.max_age })
    }
}

/// Returns the methods after another proof: two kinds of factors are `mfa`.
pub(crate) fn combined(before: Methods, now: Methods) -> Methods {
    let all = before.with(now);
    // A session that an earlier release opened states none; it was opened with a password or by a provider.
    let has_first = [Methods::PASSWORD, Methods::PROVIDER].iter().any(|first| all.contains(*first));
    let seconds = [Methods::CODE, Methods::HARDWARE_KEY, Methods::SOFTWARE_KEY];
    let is_second = seconds.iter().any(|second| all.contains(*second));
    if is_second && (has_first || before == Methods::NONE) { all.with(Methods::MULTI_FACTOR) } else { all }
}

/// Logs that a user enrolled a second factor.
fn log_added(user: UserId, factor: &'static str) {
    tracing::info!(reason = "factor_added", user = %user, factor, "a user enrolled a second factor");
}

/// Returns the name under which the secret of an authenticator app is sealed.
fn totp_name(user: UserId, id: FactorId) -> String {
    format!("TOTP\n{user}\n{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_of_factors_are_multi_factor() {
        let (password, code, fed) = (Methods::PASSWORD, Methods::CODE, Methods::PROVIDER);
        assert_eq!(combined(password, code).to_string(), "pwd,otp,mfa");
        assert_eq!(combined(fed, code).to_string(), "otp,fed,mfa");
        assert_eq!(combined(password, password).to_string(), "pwd");
        assert_eq!(combined(password, fed).to_string(), "pwd,fed", "both may be the same password");
        assert_eq!(combined(Methods::NONE, code).to_string(), "otp,mfa");
        assert_eq!(combined(code, code).to_string(), "otp");
        let (key, synced) = (Methods::HARDWARE_KEY, Methods::SOFTWARE_KEY);
        assert_eq!(combined(password, key).to_string(), "pwd,hwk,mfa");
        assert_eq!(combined(fed, synced).to_string(), "swk,fed,mfa");
        assert_eq!(combined(code, key).to_string(), "otp,hwk", "both may be the same phone");
    }
}
