//! Sign-in of a person whom a provider has identified: the owner of the account, or a new user, and a session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Providers, SealedToken, account_of, interval, proof_of, refused, statement_of};
use crate::auth::factors::pending::{Browser, PENDING_LIFE, SignInStep};
use crate::auth::sign_in::browser::Client;
use crate::auth::sign_in::login::FirstFactor;
use crate::auth::sign_in::throttle::{Charge, Guesser};
use crate::auth::{Auth, Settings, detached};
use crate::clock::{Monotonic, Timestamp};
use crate::config::CreateUsers;
use crate::error::{ProviderRefusal, Refusal};
use crate::id::UserId;
use crate::password::unusable_hash;
use crate::provider::{
    Callback, FLOW_LIFETIME, Flow, FlowError, FlowPurpose, FlowStart, MappedRoles, Person, Provider,
    ProviderError, cookie_suffix,
};
use crate::vault::origin::{Actor, acting};
use crate::vault::{
    EndReason, LOGOUT_LIFE, NewAccountUser, NewProviderSession, ProviderAccount, User, UserKey, VaultError,
};

// A logout is remembered until no sign-in that began before it can be completed; a minute for the exchange of its code.
const _: () = assert!(LOGOUT_LIFE.as_secs() >= FLOW_LIFETIME.as_secs() + PENDING_LIFE.as_secs() + 60);

/// Maximum age of a sign-in at a provider that counts as a fresh proof.
const STEP_UP_AGE: Duration = Duration::from_secs(60);

/// A flow that has begun, and its cookie.
#[derive(Debug)]
pub struct BegunFlow {
    /// The flow.
    pub flow: Flow,
    /// End of the cookie's name.
    pub suffix: String,
    /// Value of the cookie.
    pub value: String,
}

/// A browser in which a person signs in at a provider.
#[derive(Debug)]
pub struct ProviderSignIn<'a> {
    /// Provider that identified the person.
    pub provider: &'a Arc<Provider>,
    /// The person.
    pub person: Person,
    /// Time at which the browser left for the provider.
    pub began_at: Timestamp,
    /// The client.
    pub client: Client,
    /// Whether the session is kept when the browser closes.
    pub remember: bool,
    /// Maximum length of an access token in a cookie, in bytes.
    pub room: usize,
    /// Refresh cookie of the session before, which ends.
    pub before: Option<&'a str>,
    /// Path to return to.
    pub return_to: &'a str,
}

impl Auth {
    /// Begins a flow. `name` makes the cookie's name from its end.
    pub fn begin_flow(
        &self,
        provider: &Provider,
        return_to: &str,
        purpose: FlowPurpose,
        remember: bool,
        name: impl Fn(&str) -> String,
    ) -> BegunFlow {
        let issuer = &provider.settings().issuer;
        // A fresh proof is one of now; the rest is for the way back.
        let max_age = matches!(purpose, FlowPurpose::StepUp(_)).then_some(STEP_UP_AGE);
        let start = FlowStart { provider: provider.id(), issuer, return_to, purpose, max_age, remember };
        let random = self.parts.random.as_ref();
        let flow = Flow::begin(&start, self.vault_now(), random);
        let suffix = cookie_suffix(flow.state());
        let value = self.flow_key.seal(&flow, &name(&suffix), random);
        BegunFlow { flow, suffix, value }
    }

    /// Opens the cookie `name` of the flow with this state.
    ///
    /// # Errors
    /// [`FlowError`].
    pub fn open_flow(&self, value: &str, name: &str, state: &str) -> Result<Flow, FlowError> {
        self.flow_key.open(value, name, state, self.vault_now())
    }

    /// Exchanges the code of a callback for the person.
    ///
    /// # Errors
    /// Those of the provider.
    pub async fn redeem(
        &self,
        provider: &Provider,
        callback: &Callback,
        flow: &Flow,
        redirect_uri: &str,
    ) -> Result<Person, ProviderError> {
        provider.redeem(callback, flow, redirect_uri).await
    }

    /// Charges a callback to its address, before its code is exchanged.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(crate) async fn charge_callback(
        &self,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<Charge, Refusal> {
        self.charge(Guesser::Callback { address }, settings).await
    }

    /// Refunds a callback: its code was not void.
    pub(crate) fn refund_callback(&self, charge: Charge) {
        self.throttle.refund(charge);
    }

    /// Returns the time by the clock that measures durations.
    pub fn monotonic(&self) -> Monotonic {
        self.parts.clock.monotonic()
    }

    /// Counts a callback that began at `begun`. `outcome` is `ok` or a stable code.
    pub fn count_provider_sign_in(&self, provider: &Provider, outcome: &str, begun: Monotonic) {
        let counted = &self.parts.metrics.providers;
        let id = provider.id().as_str();
        if outcome != "ok" {
            self.record_failure(&format!("{id}: {outcome}"), None, None);
        }
        counted.sign_ins.with_label_values(&[id, outcome]).inc();
        let took = self.monotonic().since(begun);
        counted.sign_in_seconds.with_label_values(&[id]).observe(took.as_secs_f64());
    }

    /// Signs a person in who has come back from a provider, or begins the wait for a second factor.
    ///
    /// # Errors
    /// `Provider`, with the reason; `CookieTooLarge`; `StoreUnavailable`.
    pub async fn sign_in_at_provider(
        self: &Arc<Self>,
        request: ProviderSignIn<'_>,
        settings: &Settings,
    ) -> Result<SignInStep, Refusal> {
        let ProviderSignIn { provider, person, began_at, client, remember, room, before, return_to } =
            request;
        self.vault_at_hand()?;
        let remember = remember && !settings.browser_remember.is_zero();
        let (auth, provider, settings) = (Arc::clone(self), Arc::clone(provider), settings.clone());
        let browser = Browser { client, remember, room, before: before.map(str::to_owned) };
        let return_to = return_to.to_owned();
        detached(async move {
            let user = auth.user_of(&provider, &person, &settings.providers).await?;
            let (methods, proven_ago) = proof_of(&provider, &person, auth.vault_now());
            let part = Some(auth.provider_part(&provider, &person, began_at));
            let first = FirstFactor { user, methods, proven_ago, part };
            // The user was changed since the code was exchanged, or the provider has announced a logout meanwhile.
            auth.open_or_wait(first, browser, &return_to, &settings).await.map_err(|refusal| match refusal {
                Refusal::CredentialsWrong => ProviderRefusal::FlowLost.into(),
                refusal => refusal,
            })
        })
        .await
    }

    /// Returns the user whom a person is, after the provider's statement has been applied.
    async fn user_of(
        self: &Arc<Self>,
        provider: &Provider,
        person: &Person,
        providers: &Providers,
    ) -> Result<User, Refusal> {
        if let Some(refusal) = refused(person) {
            tracing::info!(
                reason = "provider_person_refused",
                provider = %provider.id(),
                cause = ?person.admission,
                "a person may not sign in by the rules of the provider"
            );
            return Err(refusal.into());
        }
        if let MappedRoles::Undecided(why) = person.roles {
            tracing::warn!(
                reason = "provider_roles_undecided",
                provider = %provider.id(),
                cause = ?why,
                "the provider does not state what the role rules need: roles stay as they are for a while"
            );
        }
        let account = account_of(person);
        let identities = &self.parts.vault.identities;
        let owner = match self.at_vault(identities.owner(&account)).await? {
            Some(owner) => owner,
            None => self.new_owner(provider, person, &account, providers).await?,
        };
        if owner.disabled {
            let refusal = if owner.waits_for_approval {
                ProviderRefusal::ApprovalPending
            } else {
                ProviderRefusal::AccountDisabled
            };
            return Err(refusal.into());
        }
        let applied = self
            .at_vault(acting(Actor::Provider, identities.apply(&account, &statement_of(provider, person))))
            .await?;
        self.apply_revocation(&applied, EndReason::Provider).await;
        // With the roles of the statement: they decide whether a second factor is needed.
        self.at_vault(identities.owner(&account)).await?.ok_or(ProviderRefusal::NoAccount.into())
    }

    /// Returns the user of an account that nobody owns: by its e-mail address where the operator trusts that, otherwise a
    /// new one where the operator wants that.
    async fn new_owner(
        &self,
        provider: &Provider,
        person: &Person,
        account: &ProviderAccount,
        providers: &Providers,
    ) -> Result<User, Refusal> {
        let identities = &self.parts.vault.identities;
        if let Some(known) = self.user_by_email(provider, person, providers).await? {
            self.at_vault(identities.link(account, known.id)).await?;
            tracing::info!(
                reason = "account_linked_by_email",
                provider = %provider.id(),
                user = %known.id,
                "an account was linked to the user with the same verified e-mail address"
            );
            return Ok(known);
        }
        let waits_for_approval = match provider.settings().create_users {
            CreateUsers::Never => return Err(ProviderRefusal::NoAccount.into()),
            CreateUsers::Always => false,
            CreateUsers::Approve => true,
        };
        let login = person.username.clone().ok_or(ProviderRefusal::NoUsername)?;
        let random = self.parts.random.as_ref();
        let new = NewAccountUser {
            id: UserId::random(random),
            login,
            password: unusable_hash(random),
            waits_for_approval,
        };
        match self.at_vault(identities.create(account, &new, &statement_of(provider, person))).await {
            Ok(()) => {
                tracing::info!(
                    reason = "user_created_by_provider",
                    provider = %provider.id(),
                    user = %new.id,
                    waits_for_approval,
                    "a user was created at the first sign-in"
                );
            }
            // Another tab may have been faster: then the name is taken by this very person.
            Err(VaultError::LoginTaken | VaultError::AccountTaken) => {}
            Err(error) => return Err(error.into()),
        }
        self.at_vault(identities.owner(account)).await?.ok_or(ProviderRefusal::LoginTaken.into())
    }

    /// Returns the user with the person's e-mail address, where the operator trusts the provider in that. Both sides must
    /// have verified it: otherwise somebody could prepare an account with another person's address. Here an operator has, or a
    /// provider that is trusted in addresses as well.
    async fn user_by_email(
        &self,
        provider: &Provider,
        person: &Person,
        providers: &Providers,
    ) -> Result<Option<User>, Refusal> {
        let (true, true, Some(email)) =
            (provider.settings().trust_email, person.is_email_verified, &person.email)
        else {
            return Ok(None);
        };
        let found = self.at_vault(self.parts.vault.users.find(&UserKey::Email(email.clone()))).await?;
        let Some(user) = found.filter(|user| user.attributes.email_verified()) else { return Ok(None) };
        let links = self.at_vault(self.parts.vault.identities.of_user(user.id)).await?;
        let is_trusted =
            |id: &str| providers.find(id).is_some_and(|provider| provider.settings().trust_email);
        let cause = if links.iter().any(|link| link.is_origin && !is_trusted(&link.account.provider)) {
            "address of an account at a provider without trust_email"
        } else if links.iter().any(|link| link.account.provider == provider.id().as_str()) {
            // A subject is never given to another person; an address is.
            "the user has another account at this provider"
        } else {
            return Ok(Some(user));
        };
        tracing::info!(
            reason = "account_not_linked_by_email",
            provider = %provider.id(),
            user = %user.id,
            cause,
            "an account was not linked to the user with the same verified e-mail address"
        );
        Ok(None)
    }

    fn provider_part(&self, provider: &Provider, person: &Person, began_at: Timestamp) -> NewProviderSession {
        let account = account_of(person);
        let seal = |kind, token| self.seal_token(kind, &account, token);
        let refresh = person.refresh_token.as_ref().map(|token| seal(SealedToken::Refresh, token));
        let id_token = person.id_token.as_ref().map(|token| seal(SealedToken::Id, token));
        let recheck = interval(provider);
        if recheck.is_some() && refresh.is_none() {
            tracing::warn!(
                reason = "provider_refresh_token_missing",
                provider = %provider.id(),
                "the provider gave no refresh token, so this session is not rechecked: allow offline access there"
            );
        }
        NewProviderSession {
            recheck: recheck.filter(|_| refresh.is_some()),
            sid: person.sid.clone(),
            began_at,
            refresh,
            id_token,
            account,
        }
    }
}
