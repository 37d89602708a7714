//! Token endpoint (RFC 6749 sections 3.2, 4.1.3 and 6): client authentication, the request, its answer.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::clock::Timestamp;
use crate::config::{ClientAuthentication, PrivateKey, Provider as Settings, SignatureAlgorithm};
use crate::id::{Random, base64url};
use crate::metrics::Purpose;
use crate::outbound::{Client, OutboundError, Request, Response, form};
use crate::provider::error::{Endpoint, ProviderError};
use crate::secret::Secret;

/// Maximum size of an answer, in bytes: three tokens.
const MAX_ANSWER: usize = 256 << 10;

/// Maximum length of an access or refresh token, in bytes: both are stored or sent in a header.
const MAX_TOKEN: usize = 16 << 10;

/// Lifetime of a client assertion (RFC 7523 section 3): it is used at once.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);

/// Error codes of the specifications and of GitHub that are told apart; others are `other`. Text of a provider is not
/// passed on.
const CODES: [&str; 24] = [
    "access_denied",
    "account_selection_required",
    "application_suspended",
    "bad_refresh_token",
    "bad_verification_code",
    "consent_required",
    "incorrect_client_credentials",
    "interaction_required",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "login_required",
    "redirect_uri_mismatch",
    "registration_not_supported",
    "request_not_supported",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unmet_authentication_requirements",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unverified_user_email",
];

/// Returns a known error code as a constant.
pub(super) fn known_code(code: &str) -> &'static str {
    CODES.iter().find(|known| **known == code).copied().unwrap_or("other")
}

/// Tokens that the provider issued.
pub(super) struct Grant {
    pub(super) access_token: Secret<String>,
    pub(super) refresh_token: Option<Secret<String>>,
    pub(super) id_token: Option<Secret<String>>,
    /// Granted scopes, if they differ from the requested ones (RFC 6749 section 5.1).
    pub(super) scope: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    refresh_token: Option<String>,
    id_token: Option<String>,
    scope: Option<String>,
    error: Option<String>,
}

/// The credentials of the client at one provider.
pub(super) struct TokenEndpoint<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Settings,
    pub(super) url: &'a str,
    /// Audience of client assertions: the issuer, as OpenID Connect and FAPI ask for now.
    pub(super) audience: &'a str,
    pub(super) now: Timestamp,
    pub(super) random: &'a dyn Random,
}

impl TokenEndpoint<'_> {
    /// Exchanges a code or a refresh token. The request is sent once.
    ///
    /// # Errors
    /// The answer, as [`ProviderError`].
    pub(super) async fn exchange(
        &self,
        purpose: Purpose,
        parameters: &[(&str, &str)],
    ) -> Result<Grant, ProviderError> {
        let response = self.post(purpose, self.url, parameters).await?;
        grant(&response)
    }

    /// Sends a form with the credentials of the client.
    ///
    /// # Errors
    /// [`ProviderError::Away`].
    pub(super) async fn post(
        &self,
        purpose: Purpose,
        url: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Response, ProviderError> {
        let client_id = self.settings.client_id.as_str();
        let mut pairs = parameters.to_vec();
        let (assertion, basic);
        let request = match &self.settings.authentication {
            ClientAuthentication::SecretBasic(secret) => {
                // RFC 6749 section 2.3.1: both are form-encoded first.
                let [id, secret] = [client_id, secret.expose()].map(|text| {
                    let encoded = form(&[("", text)]);
                    encoded.strip_prefix('=').unwrap_or_default().to_owned()
                });
                basic = Secret::new(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
                Request::form(purpose, url, &pairs).authorization(basic.expose())
            }
            ClientAuthentication::SecretPost(secret) => {
                pairs.extend([("client_id", client_id), ("client_secret", secret.expose())]);
                Request::form(purpose, url, &pairs)
            }
            ClientAuthentication::PrivateKeyJwt { key, key_id } => {
                assertion = self.assertion(key, key_id.as_deref());
                pairs.extend([
                    ("client_id", client_id),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", &assertion),
                ]);
                Request::form(purpose, url, &pairs)
            }
        };
        self.client.send(request.max_body(MAX_ANSWER)).await.map_err(away)
    }

    /// Returns a client assertion (RFC 7523 section 2.2, OpenID Connect Core section 9).
    fn assertion(&self, key: &PrivateKey, key_id: Option<&str>) -> String {
        let header = json!({ "alg": key.algorithm().as_str(), "typ": "JWT", "kid": key_id });
        let header = match key_id {
            Some(_) => header,
            None => json!({ "alg": key.algorithm().as_str(), "typ": "JWT" }),
        };
        let claims = json!({
            "iss": self.settings.client_id,
            "sub": self.settings.client_id,
            "aud": self.audience,
            "jti": base64url(self.random.bytes::<16>()),
            "iat": self.now.secs(),
            "exp": (self.now + ASSERTION_LIFETIME).secs(),
        });
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = sign(key, message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }
}

fn sign(key: &PrivateKey, message: &[u8]) -> Vec<u8> {
    let (der, reason) = (key.der().expose(), "the key was checked when the configuration was read");
    let random = SystemRandom::new();
    match key.algorithm() {
        SignatureAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).expect(reason);
            pair.sign(&random, message).expect(reason).as_ref().to_vec()
        }
        SignatureAlgorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).expect(reason);
            pair.sign(message).as_ref().to_vec()
        }
        _ => {
            let pair = RsaKeyPair::from_pkcs8(der).expect(reason);
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect(reason);
            signature
        }
    }
}

/// Reads an answer. GitHub's errors come with status 200.
fn grant(response: &Response) -> Result<Grant, ProviderError> {
    let status = response.status();
    if status >= 500 || status == 429 || status == 408 || (300..400).contains(&status) {
        return Err(away(OutboundError::Status(status)));
    }
    let malformed = |why| ProviderError::Malformed(Endpoint::Token, why);
    let Ok(answer) = serde_json::from_slice::<Answer>(response.body()) else {
        return Err(match status {
            200..300 => malformed("the answer is not a JSON object with tokens"),
            401 => ProviderError::ClientRefused("invalid_client"),
            _ => ProviderError::ClientRefused("other"),
        });
    };
    if let Some(code) = answer.error {
        return Err(refusal(&code));
    }
    if !(200..300).contains(&status) {
        return Err(ProviderError::ClientRefused("other"));
    }
    if !answer.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(malformed("the access token is not a bearer token"));
    }
    let access_token = answer.access_token.filter(|token| is_token(token));
    let access_token = access_token.ok_or(malformed("the answer has no usable access token"))?;
    let refresh_token = answer.refresh_token.filter(|token| !token.is_empty());
    if refresh_token.as_ref().is_some_and(|token| !is_token(token)) {
        return Err(malformed("the refresh token is too long, or has other characters than visible ASCII"));
    }
    Ok(Grant {
        access_token: Secret::new(access_token),
        refresh_token: refresh_token.map(Secret::new),
        id_token: answer.id_token.map(Secret::new),
        scope: answer.scope,
    })
}

/// Reads a body as an answer with status 200.
#[cfg(test)]
pub(super) fn grant_for_tests(body: &[u8]) -> Result<Grant, ProviderError> {
    grant(&Response::new(200, http::HeaderMap::new(), body.to_vec()))
}

/// Returns whether a token is visible ASCII (RFC 6749 appendix A.12) of a length that can be stored and sent.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn refusal(code: &str) -> ProviderError {
    match known_code(code) {
        "invalid_grant" | "bad_verification_code" | "bad_refresh_token" => ProviderError::InvalidGrant,
        known @ ("server_error"
        | "temporarily_unavailable"
        | "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required") => ProviderError::Denied(known),
        known => ProviderError::ClientRefused(known),
    }
}

fn away(error: OutboundError) -> ProviderError {
    ProviderError::Away(Endpoint::Token, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Grant, ProviderError> {
        grant(&Response::new(200, Default::default(), body.as_bytes().to_vec()))
    }

    #[test]
    fn errors_are_told_apart_by_code_and_by_status() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant","error_description":"<b>"}"#, ProviderError::InvalidGrant),
            (200, r#"{"error":"bad_verification_code"}"#, ProviderError::InvalidGrant),
            (200, r#"{"error":"bad_refresh_token"}"#, ProviderError::InvalidGrant),
            (401, r#"{"error":"invalid_client"}"#, ProviderError::ClientRefused("invalid_client")),
            (401, "no JSON", ProviderError::ClientRefused("invalid_client")),
            (400, r#"{"error":"<script>"}"#, ProviderError::ClientRefused("other")),
            (404, "", ProviderError::ClientRefused("other")),
            (400, "{}", ProviderError::ClientRefused("other")),
            (400, r#"{"error":"temporarily_unavailable"}"#, ProviderError::Denied("temporarily_unavailable")),
            (503, r#"{"error":"invalid_grant"}"#, away(OutboundError::Status(503))),
            (429, "", away(OutboundError::Status(429))),
            (307, "", away(OutboundError::Status(307))),
        ] {
            let response = Response::new(status, Default::default(), body.as_bytes().to_vec());
            assert_eq!(grant(&response).err(), Some(expected), "{status} {body}");
        }
    }

    #[test]
    fn answer_without_a_bearer_token_is_malformed() {
        let grant =
            answer(r#"{"access_token":"a","token_type":"Bearer","refresh_token":"","scope":"x"}"#).unwrap();
        assert_eq!((grant.access_token.expose().as_str(), grant.refresh_token), ("a", None));
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"access_token":"a"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"access_token":1,"token_type":"bearer"}"#,
            r#"{"access_token":"a\nb","token_type":"bearer"}"#,
            r#"{"access_token":"a","token_type":"bearer","refresh_token":"é"}"#,
        ] {
            assert!(matches!(answer(body), Err(ProviderError::Malformed(Endpoint::Token, _))), "{body}");
        }
    }
}
