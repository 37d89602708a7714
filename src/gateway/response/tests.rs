use super::*;
use crate::error::PasswordFault;

/// Returns one refusal of each kind. A new variant does not compile until it is added to the match, and to the list.
fn all() -> Vec<Refusal> {
    let text = || String::from("x");
    let mut all = vec![
        Refusal::TokenMissing,
        Refusal::TokenInvalid,
        Refusal::TokenExpired,
        Refusal::TokenRevoked,
        Refusal::CredentialsConflict,
        Refusal::RoleMissing,
        Refusal::ProofMissing { multi_factor: true, max_age: Some(Duration::from_secs(60)) },
        Refusal::CredentialsWrong,
        Refusal::RefreshInvalid,
        Refusal::RefreshReused,
        Refusal::PasswordRejected(PasswordFault::Common),
        Refusal::RateLimited(Duration::from_millis(1500)),
        Refusal::StoreUnavailable,
        Refusal::Overloaded,
        Refusal::RouteUnknown,
        Refusal::MethodNotAllowed(text()),
        Refusal::TargetAmbiguous,
        Refusal::TargetTooLong,
        Refusal::OtherResource("x"),
        Refusal::RequestInvalid(text()),
        Refusal::MediaTypeUnsupported,
        Refusal::BodyTooLarge,
        Refusal::RequestTimeout,
        Refusal::HeaderTooLarge,
        Refusal::OriginNotAllowed,
        Refusal::HttpsRequired,
        Refusal::ConnectionOutdated,
        Refusal::FormInvalid,
        Refusal::CookieTooLarge,
        Refusal::SessionUnknown,
        Refusal::UpstreamUnavailable,
        Refusal::UpstreamTimeout,
        Refusal::Internal,
    ];
    all.extend(ProviderRefusal::ALL.map(Refusal::Provider));
    all.extend(FactorRefusal::ALL.map(Refusal::Factor));
    all.extend(LinkRefusal::ALL.map(Refusal::Link));
    for refusal in &all {
        match refusal {
            Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked => {
            }
            Refusal::CredentialsConflict | Refusal::RoleMissing | Refusal::CredentialsWrong => {}
            Refusal::RefreshInvalid | Refusal::RefreshReused | Refusal::PasswordRejected(_) => {}
            Refusal::RateLimited(_) | Refusal::StoreUnavailable | Refusal::Overloaded => {}
            Refusal::RouteUnknown | Refusal::MethodNotAllowed(_) | Refusal::TargetAmbiguous => {}
            Refusal::RequestInvalid(_) | Refusal::MediaTypeUnsupported | Refusal::BodyTooLarge => {}
            Refusal::Link(_) => {}
            Refusal::RequestTimeout
            | Refusal::HeaderTooLarge
            | Refusal::TargetTooLong
            | Refusal::OtherResource(_)
            | Refusal::OriginNotAllowed
            | Refusal::HttpsRequired
            | Refusal::ConnectionOutdated
            | Refusal::FormInvalid
            | Refusal::CookieTooLarge
            | Refusal::SessionUnknown => {}
            Refusal::UpstreamUnavailable
            | Refusal::UpstreamTimeout
            | Refusal::ProofMissing { .. }
            | Refusal::Factor(_)
            | Refusal::Provider(_)
            | Refusal::Internal => {}
        }
    }
    all
}

#[test]
fn errors_page_lists_every_refusal_with_its_status() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).expect("the page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), all().len());
    for refusal in all() {
        let row = format!("| `{}` | {} |", refusal.code(), OwnResponse::refusal(&refusal, None).status);
        assert!(rows.iter().any(|line| line.starts_with(&row)), "no row {row}");
    }
}

#[test]
fn refusals_carry_challenge_retry_after_and_allow() {
    for refusal in all() {
        let response = OwnResponse::refusal(&refusal, None);
        let has = |name: HeaderName| response.headers.iter().any(|(present, _)| *present == name);
        assert!(response.status != 401 || has(header::WWW_AUTHENTICATE), "{refusal:?}");
        assert_eq!(matches!(response.status, 429 | 503), has(header::RETRY_AFTER), "{refusal:?}");
        assert_eq!(response.status == 405, has(header::ALLOW), "{refusal:?}");
        assert!(has(header::CACHE_CONTROL));
    }
    let limited = OwnResponse::refusal(&Refusal::RateLimited(Duration::from_millis(1500)), None);
    assert!(limited.headers.contains(&(header::RETRY_AFTER, HeaderValue::from(2))), "rounded up");
}
