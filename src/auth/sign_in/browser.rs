//! Sign-in by form: browser sessions with timeouts of their own, and the cookies of a browser.
//!
//! A browser's refresh token belongs to a separate client in the vault. It is refused by the JSON endpoints, and theirs
//! are refused in a cookie. Remembered sessions have a client of their own as well: the cookie's suffix selects the
//! client, and the vault refuses the token under the other one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::sign_in::device::DEVICE_LIFE;
use crate::auth::{Auth, Revoked, Settings, SignedInFrom, Tokens};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::secret::Secret;
use crate::token::refresh::RefreshToken;
use crate::vault::{EndReason, User};

/// Suffix of the refresh cookie of a remembered session.
const REMEMBERED_SUFFIX: &str = ".r";

/// Lifetime of a form token: a working day. A form left open longer is treated as abandoned.
pub(crate) const FORM_LIFE: Duration = Duration::from_hours(12);

/// Client and timeouts of a session.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) client_id: &'static str,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

impl Terms {
    /// Returns the terms of a client that keeps its tokens itself.
    pub(crate) const fn of_api(settings: &Settings) -> Self {
        let (idle, absolute) = (settings.idle_timeout, settings.absolute_timeout);
        Self { client_id: ClientKind::Program.client_id(), idle, absolute }
    }

    /// Returns the terms of a browser.
    pub(crate) fn of_browser(remembered: bool, settings: &Settings) -> Self {
        if remembered {
            let absolute = settings.browser_remember.min(settings.absolute_timeout);
            let client = ClientKind::RememberedBrowser;
            Self { client_id: client.client_id(), idle: settings.idle_of(client), absolute }
        } else {
            let client = ClientKind::Browser;
            let (idle, absolute) = (settings.idle_of(client), settings.absolute_timeout);
            Self { client_id: client.client_id(), idle, absolute }
        }
    }
}

/// A client that signs in.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Device cookies of the browser.
    pub devices: Vec<String>,
}

/// Tokens for the cookies of a browser.
#[derive(Clone, Debug)]
pub struct BrowserTokens {
    /// Id of the session.
    pub session: SessionId,
    /// The access cookie's value.
    pub access: Secret<String>,
    /// The refresh cookie's value, if it differs from the browser's.
    pub refresh: Option<Secret<String>>,
    /// Lifetime of the cookies; `None` = until the browser closes.
    pub keep: Option<Duration>,
    /// The device cookie, after a sign-in.
    pub device: Option<DeviceCookie>,
    /// The client that signed in.
    pub from: Arc<SignedInFrom>,
}

/// Cookie that identifies a browser that has signed in before. It grants no access.
#[derive(Clone, Debug)]
pub struct DeviceCookie {
    /// Value of the cookie.
    pub value: String,
    /// Lifetime of the cookie.
    pub keep: Duration,
}

impl BrowserTokens {
    pub(crate) fn new(tokens: &Tokens, remembered: bool, refresh: bool) -> Self {
        let suffix = if remembered { REMEMBERED_SUFFIX } else { "" };
        Self {
            session: tokens.session_id,
            access: tokens.access_token.clone(),
            refresh: refresh.then(|| Secret::new(format!("{}{suffix}", tokens.refresh_token.expose()))),
            keep: remembered.then_some(tokens.session_life),
            device: None,
            from: Arc::clone(&tokens.from),
        }
    }
}

/// Returns the refresh token of a cookie, and whether its session is remembered.
pub(crate) fn read_cookie(value: &str) -> (&str, bool) {
    match value.strip_suffix(REMEMBERED_SUFFIX) {
        Some(token) => (token, true),
        None => (value, false),
    }
}

/// Returns whether the session of a refresh cookie is remembered.
pub fn is_remembered(cookie: &str) -> bool {
    read_cookie(cookie).1
}

/// A session that was opened for a browser.
pub(crate) struct SignedIn<'a> {
    pub(crate) tokens: &'a Tokens,
    pub(crate) user: &'a User,
    /// Device cookies of the browser.
    pub(crate) devices: &'a [String],
    pub(crate) remember: bool,
}

impl Auth {
    /// Returns the cookies of a new session, and ends the one before.
    ///
    /// # Errors
    /// `CookieTooLarge` when the access token is longer than `room` bytes; the new session has ended then.
    pub(crate) async fn browser_tokens(
        self: &Arc<Self>,
        SignedIn { tokens, user, devices, remember }: SignedIn<'_>,
        room: usize,
        before: Option<&str>,
        settings: &Settings,
    ) -> Result<BrowserTokens, Refusal> {
        let mut new = BrowserTokens::new(tokens, remember, true);
        let value = self.mark_device(&user.login, user.id, user.epoch, devices);
        new.device = Some(DeviceCookie { value, keep: DEVICE_LIFE });
        let too_large = new.access.expose().len() > room;
        let to_end =
            if too_large { new.refresh.as_ref().map(|cookie| cookie.expose().as_str()) } else { before };
        if let Some(cookie) = to_end
            && let Err(refusal) = self.logout_browser(cookie, settings).await
        {
            tracing::debug!(reason = refusal.code(), "the previous session was not live");
        }
        if too_large { Err(Refusal::CookieTooLarge) } else { Ok(new) }
    }

    /// Ends the session of a refresh cookie.
    ///
    /// # Errors
    /// `RefreshInvalid` when the cookie has no live session; `StoreUnavailable`.
    pub async fn logout_browser(
        self: &Arc<Self>,
        cookie: &str,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let (token, terms) = self.parse_cookie(cookie, settings).await?;
        let presented = self.presented(&token, terms, settings)?;
        let renewal = self.at_vault(self.parts.vault.sessions.renew(&presented)).await?;
        let grant = self.granted(renewal).await?.grant;
        self.end_session(grant.session_id, grant.user_id, EndReason::Logout, settings).await
    }

    pub(crate) async fn parse_cookie(
        &self,
        cookie: &str,
        settings: &Settings,
    ) -> Result<(RefreshToken, Terms), Refusal> {
        let (text, remembered) = read_cookie(cookie);
        Ok((self.read_refresh(text).await?, Terms::of_browser(remembered, settings)))
    }

    /// Returns the digest that ties a form to the session of a refresh cookie. It is the same for all generations of
    /// the token and needs no vault lookup.
    pub fn session_digest(&self, cookie: &str) -> Option<[u8; 32]> {
        let token =
            RefreshToken::parse(read_cookie(cookie).0, &self.parts.keys.current(), self.vault_now()).ok()?;
        Some(token.family.digest())
    }

    /// Returns a form token for `what`, bound to `subject`, valid for [`FORM_LIFE`].
    pub fn form_token(&self, what: &str, subject: &[u8]) -> String {
        self.form_tokens.issue(what, subject, self.vault_now(), FORM_LIFE)
    }

    /// Returns whether the form token was issued here for `what` and `subject` and is still valid.
    pub fn is_form_token_valid(&self, token: &str, what: &str, subject: &[u8]) -> bool {
        self.form_tokens.is_valid(token, what, subject, self.vault_now())
    }

    /// Returns a random visit id for a browser that has none.
    pub fn new_visit(&self) -> String {
        crate::id::base64url(self.parts.random.bytes::<16>())
    }

    /// Returns the time left until `then`, by the clock that decides about tokens.
    pub fn until(&self, then: crate::clock::Timestamp) -> Duration {
        then.since(self.vault_now())
    }

    /// Returns the time of that clock.
    pub fn now(&self) -> crate::clock::Timestamp {
        self.vault_now()
    }
}
