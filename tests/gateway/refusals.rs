//! What every refusal looks like, whoever refuses.

use crate::support::Response;

/// A problem document with this code, which nobody may keep, that says which request it answers, and the challenge
/// RFC 6750 section 3 asks for.
pub(crate) fn assert_refused(answer: &Response, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:doorward:problem:{code}"));
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(problem["request_id"].is_string(), "{problem}");
    assert_eq!(answer.all("x-request-id"), [problem["request_id"].as_str().unwrap_or_default()]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("x-content-type-options"), ["nosniff"]);
    assert_eq!(answer.all("www-authenticate"), challenge(code));
}

/// Section 3.1: no reason where no credential was sent, one of three where it was.
fn challenge(code: &str) -> Vec<&'static str> {
    let challenge = match code {
        "token_missing" | "credentials_wrong" => "Bearer",
        "token_invalid" => r#"Bearer error="invalid_token", error_description="not a valid access token""#,
        "token_expired" => {
            r#"Bearer error="invalid_token", error_description="the access token has expired""#
        }
        "token_revoked" => r#"Bearer error="invalid_token", error_description="the session has ended""#,
        "refresh_invalid" | "refresh_reused" => {
            r#"Bearer error="invalid_token", error_description="not a valid refresh token""#
        }
        "credentials_conflict" => r#"Bearer error="invalid_request""#,
        "role_missing" => r#"Bearer error="insufficient_scope""#,
        _ => return Vec::new(),
    };
    vec![challenge]
}
