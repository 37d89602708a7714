//! Sign-in by form: sessions of browsers, on terms of their own, and what a browser carries back to us.
//!
//! A browser's refresh token answers to a client of its own in the vault, so that it is of no use to the JSON endpoints,
//! and theirs of none in a cookie. Whether the session is a remembered one is in that name, too: the cookie says which
//! it is to be looked for under, and the vault refuses it under the other.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::sign_in::device::KNOWN_FOR;
use crate::auth::{Auth, LoginRequest, Revoked, Settings, Tokens};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::secret::Secret;
use crate::token::refresh::RefreshToken;
use crate::vault::EndReason;

/// What a remembered session's cookie ends in.
const REMEMBERED: &str = ".r";

/// A form may be open this long: a working day; what is older was forgotten.
pub(crate) const FORM_LIFE: Duration = Duration::from_hours(12);

/// How long a session lasts, and which client it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) client_id: &'static str,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

impl Terms {
    /// Of a client that keeps its tokens itself.
    pub(crate) const fn of_api(settings: &Settings) -> Self {
        let (idle, absolute) = (settings.idle_timeout, settings.absolute_timeout);
        Self { client_id: ClientKind::Program.client_id(), idle, absolute }
    }

    /// Of a browser.
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

/// What a browser is to keep.
#[derive(Clone, Debug)]
pub struct BrowserTokens {
    /// Of which session.
    pub session: SessionId,
    /// The access cookie's value.
    pub access: Secret<String>,
    /// The refresh cookie's value, where it is another than the browser's.
    pub refresh: Option<Secret<String>>,
    /// How long it is to be kept; `None` = until the browser ends.
    pub keep: Option<Duration>,
    /// The cookie by which the browser is known from now on, after a sign-in.
    pub device: Option<DeviceCookie>,
}

/// The cookie by which a browser that has signed in before is known. It opens nothing.
#[derive(Clone, Debug)]
pub struct DeviceCookie {
    /// Its value.
    pub value: String,
    /// How long it is to be kept.
    pub keep: Duration,
}

impl BrowserTokens {
    pub(crate) fn new(tokens: &Tokens, remembered: bool, refresh: bool) -> Self {
        let mark = if remembered { REMEMBERED } else { "" };
        Self {
            session: tokens.session_id,
            access: tokens.access_token.clone(),
            refresh: refresh.then(|| Secret::new(format!("{}{mark}", tokens.refresh_token.expose()))),
            keep: remembered.then_some(tokens.session_life),
            device: None,
        }
    }
}

/// The refresh token in a cookie, and whether its session is remembered.
pub(crate) fn read_cookie(value: &str) -> (&str, bool) {
    match value.strip_suffix(REMEMBERED) {
        Some(token) => (token, true),
        None => (value, false),
    }
}

impl Auth {
    /// Signs in somebody at a browser. The session of `before`, a refresh cookie, ends: nobody goes on in a session
    /// that somebody else may have begun for them (T50).
    ///
    /// # Errors
    /// As [`Auth::login`]; `CookieTooLarge` when the access token is longer than `room`.
    pub async fn login_browser(
        self: &Arc<Self>,
        request: LoginRequest,
        remember: bool,
        room: usize,
        before: Option<&str>,
        settings: &Settings,
    ) -> Result<BrowserTokens, Refusal> {
        let remember = remember && !settings.browser_remember.is_zero();
        let devices = request.devices.clone();
        let (tokens, user) = self.login_on(request, Terms::of_browser(remember, settings), settings).await?;
        let mut new = BrowserTokens::new(&tokens, remember, true);
        let value = self.mark_device(&user.login, user.id, user.epoch, &devices);
        new.device = Some(DeviceCookie { value, keep: KNOWN_FOR });
        let unusable = new.access.expose().len() > room;
        let to_end =
            if unusable { new.refresh.as_ref().map(|cookie| cookie.expose().as_str()) } else { before };
        if let Some(cookie) = to_end
            && let Err(refusal) = self.logout_browser(cookie, settings).await
        {
            tracing::debug!(reason = refusal.code(), "the session before was not there to be ended");
        }
        if unusable { Err(Refusal::CookieTooLarge) } else { Ok(new) }
    }

    /// Ends the session of a refresh cookie.
    ///
    /// # Errors
    /// `RefreshInvalid` where there is none; `StoreUnavailable`.
    pub async fn logout_browser(
        self: &Arc<Self>,
        cookie: &str,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let (token, terms) = self.of_cookie(cookie, settings).await?;
        let presented = self.presented(&token, terms, settings)?;
        let grant = self.granted(self.parts.vault.sessions.renew(&presented).await?).await?.grant;
        self.end_session(grant.session_id, grant.user_id, EndReason::Logout).await
    }

    pub(crate) async fn of_cookie(
        &self,
        cookie: &str,
        settings: &Settings,
    ) -> Result<(RefreshToken, Terms), Refusal> {
        let (text, remembered) = read_cookie(cookie);
        Ok((self.read_refresh(text).await?, Terms::of_browser(remembered, settings)))
    }

    /// What ties a form to the session of a refresh cookie: the same for all its generations, told without the vault.
    pub fn session_mark(&self, cookie: &str) -> Option<[u8; 32]> {
        let token =
            RefreshToken::parse(read_cookie(cookie).0, &self.parts.keys.current(), self.vault_now()).ok()?;
        Some(token.family.digest())
    }

    /// A stamp on `what` for `whom`, good for [`FORM_LIFE`].
    pub fn stamp(&self, what: &str, whom: &[u8]) -> String {
        self.stamps.make(what, whom, self.vault_now(), FORM_LIFE)
    }

    /// Whether that is one of ours.
    pub fn is_stamped(&self, stamp: &str, what: &str, whom: &[u8]) -> bool {
        self.stamps.is_good(stamp, what, whom, self.vault_now())
    }

    /// A name nobody guesses, for a browser that has none.
    pub fn new_visit(&self) -> String {
        crate::id::base64url(self.parts.random.bytes::<16>())
    }

    /// How long until `then`, by the clock that decides about tokens.
    pub fn until(&self, then: crate::clock::Timestamp) -> Duration {
        then.since(self.vault_now())
    }

    /// That clock.
    pub fn now(&self) -> crate::clock::Timestamp {
        self.vault_now()
    }
}
