//! Common form of all refusals.

use crate::support::Response;

/// Asserts a problem document with this code, `no-store`, a request id and the challenge of RFC 6750 section 3.
pub(crate) fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
    let problem = response.json();
    assert_eq!(problem["type"], format!("urn:doorward:problem:{code}"));
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(problem["request_id"].is_string(), "{problem}");
    assert_eq!(response.all("x-request-id"), [problem["request_id"].as_str().unwrap_or_default()]);
    assert_eq!(response.all("cache-control"), ["no-store"]);
    assert_eq!(response.all("x-content-type-options"), ["nosniff"]);
    assert_eq!(response.all("www-authenticate"), challenge(code));
}

/// RFC 6750 section 3.1: no error code without a credential, one of three with one.
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
