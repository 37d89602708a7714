use proptest::prelude::*;

use super::*;
use crate::id::SystemRandom;

fn key() -> FlowKey {
    let random: &dyn Random = &SystemRandom;
    FlowKey::new(&Secret::new(random.bytes()))
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

fn flow(purpose: FlowPurpose) -> Flow {
    let provider = "sso".parse().unwrap();
    let start = FlowStart {
        provider: &provider,
        issuer: "https://id.example",
        return_to: "/wiki?a=\"b\"",
        purpose,
        max_age: Some(Duration::from_millis(300_900)),
        remember: true,
    };
    Flow::begin(&start, now(), &SystemRandom)
}

#[test]
fn sealed_flow_opens_with_its_name_and_state() {
    let (key, other, session) = (key(), key(), SessionId::random(&SystemRandom));
    for purpose in [FlowPurpose::SignIn, FlowPurpose::Link(session), FlowPurpose::StepUp(session)] {
        let flow = flow(purpose);
        let value = key.seal(&flow, "name", &SystemRandom);
        assert_eq!(key.open(&value, "name", flow.state(), now()), Ok(flow.clone()));
        assert_eq!(flow.max_age, Some(Duration::from_secs(300)));
        assert_eq!(key.open(&value, "name", "other", now()), Err(FlowError::OtherState));
        assert_eq!(key.open(&value, "name", "", now()), Err(FlowError::OtherState));
        assert_eq!(key.open(&value, "other", flow.state(), now()), Err(FlowError::Invalid));
        assert_eq!(other.open(&value, "name", flow.state(), now()), Err(FlowError::Invalid));
    }
}

#[test]
fn flow_expires_after_ten_minutes() {
    let (key, flow) = (key(), flow(FlowPurpose::SignIn));
    let value = key.seal(&flow, "name", &SystemRandom);
    let open = |at| key.open(&value, "name", flow.state(), at).map(drop);
    assert_eq!(open(now() + FLOW_LIFETIME), Ok(()));
    assert_eq!(open(now() + FLOW_LIFETIME + Duration::from_millis(1)), Err(FlowError::Expired));
    assert_eq!(open(now() - FLOW_LIFETIME - Duration::from_millis(1)), Err(FlowError::Expired));
}

#[test]
fn every_flow_has_its_own_secrets() {
    let [one, other] = [flow(FlowPurpose::SignIn), flow(FlowPurpose::SignIn)];
    let secrets = [one.state(), one.nonce(), one.verifier(), other.state(), other.nonce(), other.verifier()];
    let distinct: std::collections::BTreeSet<&str> = secrets.into_iter().collect();
    assert_eq!(distinct.len(), 6);
    assert!(
        secrets.iter().all(|secret| secret.len() == 43),
        "RFC 7636: a verifier has at least 43 characters"
    );
    assert_ne!(cookie_suffix(one.state()), cookie_suffix(other.state()));
    let shown = format!("{one:?}");
    assert!(secrets[..3].iter().all(|secret| !shown.contains(secret)), "{shown}");
}

#[test]
fn challenge_is_the_one_of_rfc_7636() {
    let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
    let flow = Flow { verifier, ..flow(FlowPurpose::SignIn) };
    assert_eq!(flow.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[test]
fn longest_flow_fits_into_a_cookie() {
    let (provider, issuer) = ("x".repeat(32).parse().unwrap(), "i".repeat(200));
    let start = |return_to| FlowStart {
        provider: &provider,
        issuer: &issuer,
        return_to,
        purpose: FlowPurpose::Link(SessionId::random(&SystemRandom)),
        max_age: Some(Duration::from_secs(u64::MAX)),
        remember: false,
    };
    let longest = format!("/{}", "\"".repeat(MAX_RETURN_TO - 1));
    let flow = Flow::begin(&start(&longest), now(), &SystemRandom);
    assert_eq!(flow.return_to, longest);
    let key = key();
    let value = key.seal(&flow, "name", &SystemRandom);
    assert!(value.len() < 3900, "{}", value.len());
    assert!(key.open(&value, "name", flow.state(), now()).is_ok());
    assert_eq!(Flow::begin(&start(&format!("{longest}x")), now(), &SystemRandom).return_to, "/");
}

proptest! {
    #[test]
    fn changed_cookie_never_opens(at in 0usize..400, bit in 0u8..6) {
        let (key, flow) = (key(), flow(FlowPurpose::SignIn));
        let value = key.seal(&flow, "name", &SystemRandom);
        let mut bytes = from_base64url(&value).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(key.open(&base64url(bytes), "name", flow.state(), now()), Err(FlowError::Invalid));
    }

    #[test]
    fn arbitrary_cookie_never_opens(value in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = key();
        prop_assert_eq!(key.open(&value, "name", "s", now()), Err(FlowError::Invalid));
        prop_assert_eq!(key.open(&base64url(bytes), "name", "s", now()), Err(FlowError::Invalid));
    }
}
