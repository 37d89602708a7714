//! URLs that the browser is sent to: the authorization request, and the sign-out at the provider.

use crate::config::{Preset, Provider as Settings};
use crate::outbound::form;
use crate::provider::flow::{Flow, FlowPurpose};
use crate::secret::Secret;

/// Maximum length of an ID token in a URL. Servers refuse long URLs (414), some from 4 KiB.
const MAX_HINT: usize = 3 << 10;

/// Scope that asks for a refresh token (OpenID Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// Optional parameters of an authorization request.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizationRequest<'a> {
    /// Login name or address to fill in at the provider (`login_hint`).
    pub login_hint: Option<&'a str>,
    /// Step that the provider asks of the person.
    pub prompt: Option<Prompt>,
}

/// Step that the provider asks of the person (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in again.
    Login,
    /// To choose one of several accounts.
    SelectAccount,
}

/// Parameters of a sign-out at the provider.
#[derive(Clone, Copy, Debug)]
pub struct EndSession<'a> {
    /// ID token of the session. A long one is left out: a URL has limits, and the provider then asks for confirmation.
    pub id_token: Option<&'a Secret<String>>,
    /// Login name or address of the person.
    pub logout_hint: Option<&'a str>,
    /// Address to return to, registered at the provider.
    pub return_to: &'a str,
    /// Value that the provider returns with it.
    pub state: &'a str,
}

/// Way to the sign-out at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOutThere {
    /// URL that signs the browser out; `None` if `logout` is off, or if no such endpoint is known.
    pub url: Option<String>,
    /// True if the provider has just responded. A browser may reach it all the same.
    pub is_reachable: bool,
}

/// Returns the URL of an authorization request: code flow with PKCE, state and nonce. Nothing else of the flow is in it.
pub(super) fn authorization_url(
    endpoint: &str,
    settings: &Settings,
    flow: &Flow,
    redirect_uri: &str,
    request: &AuthorizationRequest<'_>,
) -> String {
    // Only a session needs a refresh token. Each one that nobody uses takes a place at the provider: Google drops the
    // oldest of a person's.
    let opens_session = flow.purpose == FlowPurpose::SignIn;
    let scopes = settings.scopes.iter().map(String::as_str);
    let scope = scopes.filter(|scope| opens_session || *scope != OFFLINE).collect::<Vec<_>>().join(" ");
    let challenge = flow.challenge();
    let max_age = flow.max_age.map(|max_age| max_age.as_secs().to_string());
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", settings.client_id.as_str()),
        // Always sent: Entra ID would choose one of several "at random".
        ("redirect_uri", redirect_uri),
        ("scope", &scope),
        ("state", flow.state()),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let mut prompt = match request.prompt {
        Some(Prompt::Login) => "login",
        Some(Prompt::SelectAccount) => "select_account",
        None => "",
    };
    if settings.preset == Preset::GitHub {
        if request.prompt.is_some() {
            pairs.push(("prompt", "select_account"));
        }
        pairs.extend(request.login_hint.map(|hint| ("login", hint)));
        return with_query(endpoint, &pairs);
    }
    pairs.push(("nonce", flow.nonce()));
    // Never beside another value: Entra ID and GitLab know one at a time.
    if settings.consent && opens_session && prompt.is_empty() {
        prompt = "consent";
    }
    if settings.preset == Preset::Google && !settings.recheck.is_zero() && opens_session {
        // Google's way to a refresh token.
        pairs.push(("access_type", "offline"));
    }
    if let (Preset::Google, [domain]) = (settings.preset, settings.allowed_domains.as_slice()) {
        // Chooses among accounts in the browser; the claim is the gate.
        pairs.push(("hd", domain));
    }
    if !prompt.is_empty() {
        pairs.push(("prompt", prompt));
    }
    if let Some(max_age) = &max_age {
        pairs.push(("max_age", max_age));
    }
    pairs.extend(request.login_hint.map(|hint| ("login_hint", hint)));
    with_query(endpoint, &pairs)
}

/// Returns the URL of a sign-out (OpenID Connect RP-Initiated Logout 1.0 section 2).
pub(super) fn end_session_url(endpoint: &str, settings: &Settings, request: &EndSession<'_>) -> String {
    let hint = request.id_token.map(|token| token.expose().as_str()).filter(|token| token.len() <= MAX_HINT);
    let mut pairs: Vec<(&str, &str)> = hint.map(|hint| ("id_token_hint", hint)).into_iter().collect();
    pairs.push(("client_id", &settings.client_id));
    pairs.extend(request.logout_hint.map(|hint| ("logout_hint", hint)));
    pairs.extend([("post_logout_redirect_uri", request.return_to), ("state", request.state)]);
    with_query(endpoint, &pairs)
}

/// Appends a query. The endpoint may have one, which is kept (RFC 6749 section 3.1).
fn with_query(endpoint: &str, pairs: &[(&str, &str)]) -> String {
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{}", form(pairs))
}
