//! Recheck: what ends a session, what leaves it undecided, and the rotated refresh token.

use super::*;
use crate::identity::Roles;
use crate::provider::{Account, MappedRoles, Recheck, UndecidedClaim};
use crate::secret::Secret;

const RULES: &str = "roles = [{ claim = \"groups\", value = \"platform\", role = \"admin\" }]";

impl Setup {
    fn account(&self) -> Account {
        let settings = self.provider.settings();
        Account {
            provider: settings.id.clone(),
            issuer: settings.issuer.clone(),
            subject: "0-Ada".to_owned(),
        }
    }

    async fn recheck(&self) -> Recheck {
        self.provider.recheck(&Secret::new("refresh-1".to_owned()), &self.account()).await
    }

    fn refreshed(&self, more: Value) {
        let mut body = json!({ "access_token": "access-2", "token_type": "Bearer" });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.issuer.answer("/token", Answer::json(&body));
    }
}

#[tokio::test]
async fn claims_are_read_again_without_an_id_token() {
    let setup = Setup::new(RULES).await;
    setup.refreshed(json!({ "refresh_token": "refresh-2" }));
    for (groups, roles) in [(json!(["platform"]), &["admin"][..]), (json!([]), &[])] {
        setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-Ada", "groups": groups })));
        let Recheck::Confirmed(person) = setup.recheck().await else { panic!() };
        assert_eq!(person.roles, MappedRoles::Decided(Roles::parse(roles.iter().copied()).unwrap()));
        assert_eq!(person.refresh_token.unwrap().expose(), "refresh-2");
        assert_eq!(person.account, setup.account());
    }
    let sent = parameters(&setup.issuer.seen("/token").remove(0).body);
    assert_eq!((sent["grant_type"].as_str(), sent["refresh_token"].as_str()), ("refresh_token", "refresh-1"));
}

#[tokio::test]
async fn newer_claims_replace_those_of_the_id_token() {
    let setup = Setup::new(RULES).await;
    let flow = setup.flow();
    let mut claims = setup.claims(&flow);
    claims.as_object_mut().unwrap().remove("nonce");
    setup.refreshed(json!({ "id_token": setup.key.sign(&claims) }));
    setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-Ada", "groups": [] })));
    let Recheck::Confirmed(person) = setup.recheck().await else { panic!() };
    assert_eq!(person.roles, MappedRoles::Decided(Roles::default()));
    assert_eq!(person.refresh_token.unwrap().expose(), "refresh-1", "without rotation the old one is kept");
    assert!(person.id_token.is_some() && person.is_email_verified);
}

#[tokio::test]
async fn other_subject_or_void_grant_ends_the_session() {
    let setup = Setup::new(RULES).await;
    setup.issuer.answer("/token", Answer::new(400, r#"{"error":"invalid_grant"}"#));
    assert!(matches!(setup.recheck().await, Recheck::Ended(ProviderError::InvalidGrant)));
    setup.refreshed(json!({}));
    setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-eve" })));
    assert!(matches!(setup.recheck().await, Recheck::Ended(ProviderError::OtherSubject)));
    let flow = setup.flow();
    let mut claims = setup.claims(&flow);
    claims["sub"] = json!("0-eve");
    setup.refreshed(json!({ "id_token": setup.key.sign(&claims) }));
    assert!(matches!(setup.recheck().await, Recheck::Ended(ProviderError::OtherSubject)));
    let other = Account { provider: "other".parse().unwrap(), ..setup.account() };
    let recheck = setup.provider.recheck(&Secret::new("r".to_owned()), &other).await;
    assert!(matches!(recheck, Recheck::Ended(ProviderError::OtherProvider)));
}

#[tokio::test]
async fn rotated_token_survives_a_failure_after_the_exchange() {
    let setup = Setup::new(RULES).await;
    setup.refreshed(json!({ "refresh_token": "refresh-2" }));
    setup.issuer.answer("/userinfo", Answer::new(503, ""));
    let Recheck::Undecided(error, Some(rotated)) = setup.recheck().await else { panic!() };
    assert_eq!((error.reason(), error.is_away()), ("provider_status", true));
    assert_eq!(rotated.expose(), "refresh-2");
    let flow = setup.flow();
    let claims = setup.claims(&flow);
    let header = json!({ "alg": "HS256", "kid": "k1" });
    let id_token = setup.key.sign_with(&header, &claims);
    setup.refreshed(json!({ "refresh_token": "refresh-3", "id_token": id_token }));
    let Recheck::Misconfigured(error, Some(rotated)) = setup.recheck().await else { panic!() };
    assert_eq!((error.reason(), rotated.expose().as_str()), ("provider_token_symmetric", "refresh-3"));
}

#[tokio::test]
async fn unreachable_or_wrongly_configured_provider_decides_nothing() {
    let setup = Setup::new(RULES).await;
    for (status, body, is_ours) in [
        (500, "", false),
        (429, "", false),
        (400, r#"{"error":"temporarily_unavailable"}"#, false),
        (401, r#"{"error":"invalid_client"}"#, true),
        (400, r#"{"error":"unauthorized_client"}"#, true),
        (404, "", true),
        (200, "nonsense", false),
    ] {
        setup.issuer.answer("/token", Answer::new(status, body));
        match setup.recheck().await {
            Recheck::Undecided(_, None) if !is_ours => {}
            Recheck::Misconfigured(_, None) if is_ours => {}
            other => panic!("{status} {body}: {other:?}"),
        }
    }
    // Nothing about groups: the roles are undecided, and nobody is signed out.
    setup.refreshed(json!({}));
    setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-Ada" })));
    let Recheck::Confirmed(person) = setup.recheck().await else { panic!() };
    assert_eq!(person.roles, MappedRoles::Undecided(UndecidedClaim::Missing));
}
