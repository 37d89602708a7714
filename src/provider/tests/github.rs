//! GitHub, against a server shaped like its API.

use super::*;
use crate::identity::Roles;
use crate::outbound::OutboundError;
use crate::provider::{Account, Admission, Endpoint, MappedRoles, NotAdmitted, Recheck, UndecidedClaim};
use crate::secret::Secret;

async fn setup(more: &str) -> Setup {
    let setup = Setup::new("").await;
    let base = setup.issuer.url("");
    let text = format!(
        "[[providers]]\nid = \"sso\"\npreset = \"github\"\nissuer = \"{base}\"\napi_url = \"{base}/api\"\n\
         client_id = \"app\"\nclient_secret = \"hunter2\"\n{more}"
    );
    let setup = Setup { provider: provider(&text, &setup.clock), ..setup };
    let scope = "read:org,read:user,user:email";
    setup.answer_token(json!({ "access_token": "gho_1", "token_type": "bearer", "scope": scope }));
    let user =
        json!({ "id": 583_231, "login": "Ada", "name": "Ada Lovelace", "email": "public@example.org" });
    setup.issuer.answer("/api/user", Answer::json(&user));
    let emails = json!([
        { "email": "ada@home.example", "primary": true, "verified": true, "visibility": null },
        { "email": "ada@example.com", "primary": false, "verified": true },
        { "email": "ada@evil.example", "primary": false, "verified": false },
    ]);
    setup.issuer.answer("/api/user/emails", Answer::json(&emails));
    setup.issuer.answer("/api/user/orgs", Answer::json(&json!([{ "login": "Example" }])));
    let teams = json!([{ "slug": "platform", "organization": { "login": "Example" } }]);
    setup.issuer.answer("/api/user/teams", Answer::json(&teams));
    setup
}

impl Setup {
    fn answer_token(&self, body: Value) {
        self.issuer.answer("/login/oauth/access_token", Answer::json(&body));
    }

    async fn at_github(&self) -> Result<Person, ProviderError> {
        let flow = self.flow();
        self.redeem(&flow, "code=c").await
    }

    fn account_at_github(&self) -> Account {
        let settings = self.provider.settings();
        Account {
            provider: settings.id.clone(),
            issuer: settings.issuer.clone(),
            subject: "583231".to_owned(),
        }
    }
}

#[tokio::test]
async fn person_is_known_by_the_numeric_id() {
    let setup = setup("").await;
    let person = setup.at_github().await.unwrap();
    assert_eq!(person.account, setup.account_at_github());
    assert_eq!(person.username.unwrap().as_str(), "ada");
    assert_eq!((person.email.unwrap().as_str(), person.is_email_verified), ("ada@home.example", true));
    assert_eq!((person.roles, person.admission), (MappedRoles::Unmanaged, Admission::Admitted));
    assert_eq!(person.refresh_token.unwrap().expose(), "access:gho_1");
    let request = setup.issuer.seen("/login/oauth/access_token").remove(0);
    assert!(
        request.head.to_ascii_lowercase().contains("\r\naccept: application/json\r\n"),
        "{}",
        request.head
    );
    let sent = parameters(&request.body);
    assert_eq!((sent["code_verifier"].len(), sent["client_secret"].as_str()), (43, "hunter2"));
    let request = setup.issuer.seen("/api/user").remove(0).head.to_ascii_lowercase();
    assert!(
        request.contains("authorization: bearer gho_1") && request.contains("user-agent: doorward"),
        "{request}"
    );
    assert!(setup.issuer.seen("/api/user/orgs").is_empty(), "organizations are not asked for without need");
    let url = setup
        .provider
        .authorization_url(&setup.flow(), CALLBACK, &AuthorizationRequest::default())
        .await
        .unwrap();
    assert!(
        url.contains("/login/oauth/authorize?") && url.contains("code_challenge=") && !url.contains("nonce"),
        "{url}"
    );
}

#[tokio::test]
async fn errors_with_status_200_are_errors() {
    let setup = setup("").await;
    for (code, expected) in [
        ("bad_verification_code", ProviderError::InvalidGrant),
        ("incorrect_client_credentials", ProviderError::ClientRefused("incorrect_client_credentials")),
        ("redirect_uri_mismatch", ProviderError::ClientRefused("redirect_uri_mismatch")),
        ("<script>", ProviderError::ClientRefused("other")),
    ] {
        setup.answer_token(json!({ "error": code, "error_description": "x" }));
        assert_eq!(setup.at_github().await.err(), Some(expected), "{code}");
    }
    let flow = setup.flow();
    let denied = setup.redeem(&flow, "error=access_denied&error_description=x").await;
    assert_eq!(denied.err(), Some(ProviderError::Denied("access_denied")));
    let mixed = setup.redeem(&flow, "code=c&iss=https%3A%2F%2Fevil.example").await;
    assert_eq!(mixed.err(), Some(ProviderError::MixUp));
}

#[tokio::test]
async fn only_verified_addresses_of_the_domain_are_admitted() {
    let person = setup("allowed_domains = [\"example.com\"]").await.at_github().await.unwrap();
    assert_eq!((person.email.unwrap().as_str(), person.admission), ("ada@example.com", Admission::Admitted));
    for domain in ["evil.example", "example.org"] {
        let setup = setup(&format!("allowed_domains = [\"{domain}\"]")).await;
        let admission = setup.at_github().await.unwrap().admission;
        assert_eq!(admission, Admission::Refused(NotAdmitted::Domain), "{domain}");
        setup.issuer.answer("/api/user/emails", Answer::new(500, ""));
        let admission = setup.at_github().await.unwrap().admission;
        assert_eq!(admission, Admission::Undecided(UndecidedClaim::Unavailable));
    }
}

#[tokio::test]
async fn organizations_and_teams_admit_and_give_roles() {
    let rules = "roles = [{ claim = \"teams\", value = \"example/platform\", role = \"admin\" },\
                 { claim = \"orgs\", value = \"example\", role = \"member\" }]";
    for (gate, admission) in [
        ("allowed_orgs = [\"example\"]", Admission::Admitted),
        ("allowed_orgs = [\"other\", \"EXAMPLE\"]", Admission::Admitted),
        ("allowed_orgs = [\"exampl\"]", Admission::Refused(NotAdmitted::Organization)),
        ("allowed_teams = [\"example/platform\"]", Admission::Admitted),
        ("allowed_teams = [\"other/platform\"]", Admission::Refused(NotAdmitted::Team)),
    ] {
        let person = setup(&format!("{gate}\n{rules}")).await.at_github().await.unwrap();
        assert_eq!(person.admission, admission, "{gate}");
        assert_eq!(person.roles, MappedRoles::Decided(Roles::parse(["admin", "member"]).unwrap()));
    }
    let setup = setup("allowed_orgs = [\"example\"]").await;
    let scope = "read:user,user:email";
    setup.answer_token(json!({ "access_token": "a", "token_type": "bearer", "scope": scope }));
    assert_eq!(setup.at_github().await.err(), Some(ProviderError::ScopeMissing("read:org")));
}

#[tokio::test]
async fn incomplete_lists_are_undecided() {
    let setup = setup(
        "allowed_orgs = [\"hidden\"]\nroles = [{ claim = \"orgs\", value = \"hidden\", role = \"admin\" }]",
    )
    .await;
    let undecided = |person: Person| (person.admission, person.roles);
    let both = |reason| (Admission::Undecided(reason), MappedRoles::Undecided(reason));
    let partial = Answer::json(&json!([{ "login": "Example" }]))
        .field("X-GitHub-SSO: partial-results; organizations=1,2");
    setup.issuer.answer("/api/user/orgs", partial);
    assert_eq!(undecided(setup.at_github().await.unwrap()), both(UndecidedClaim::Partial));
    setup.issuer.answer("/api/user/orgs", Answer::new(403, ""));
    assert_eq!(undecided(setup.at_github().await.unwrap()), both(UndecidedClaim::Unavailable));
    // A full page on every page: the list never ends, the reading does.
    let page: Vec<Value> = (0..100).map(|at| json!({ "login": format!("o{at}") })).collect();
    setup.issuer.answer("/api/user/orgs", Answer::json(&json!(page)));
    let before = setup.issuer.seen("/api/user/orgs").len();
    assert_eq!(undecided(setup.at_github().await.unwrap()), both(UndecidedClaim::Partial));
    assert_eq!(setup.issuer.seen("/api/user/orgs").len() - before, 10);
    // The second page has it.
    setup.issuer.answer("/api/user/orgs?per_page=100&page=2", Answer::json(&json!([{ "login": "Hidden" }])));
    let person = setup.at_github().await.unwrap();
    assert_eq!(
        (person.admission, person.roles),
        (Admission::Admitted, MappedRoles::Decided(Roles::parse(["admin"]).unwrap()))
    );
}

#[tokio::test]
async fn recheck_uses_the_access_token_or_a_refresh_token() {
    let setup = setup("").await;
    let account = setup.account_at_github();
    let recheck = |token: &str| {
        let token = Secret::new(token.to_owned());
        let (provider, account) = (&setup.provider, &account);
        async move { provider.recheck(&token, account).await }
    };
    let Recheck::Confirmed(person) = recheck("access:gho_1").await else { panic!() };
    assert_eq!(person.refresh_token.unwrap().expose(), "access:gho_1");
    assert!(setup.issuer.seen("/login/oauth/access_token").is_empty());
    setup.answer_token(
        json!({ "access_token": "ghu_2", "token_type": "bearer", "refresh_token": "ghr_2", "scope": "" }),
    );
    let Recheck::Confirmed(person) = recheck("ghr_1").await else { panic!() };
    assert_eq!(person.refresh_token.unwrap().expose(), "ghr_2");
    setup.issuer.answer("/api/user", Answer::new(401, ""));
    assert!(matches!(recheck("access:gho_1").await, Recheck::Ended(ProviderError::InvalidGrant)));
    setup.issuer.answer("/api/user", Answer::new(502, ""));
    let away = ProviderError::Away(Endpoint::Api, OutboundError::Status(502));
    let Recheck::Undecided(error, Some(rotated)) = recheck("ghr_1").await else { panic!() };
    assert_eq!((error, rotated.expose().as_str()), (away, "ghr_2"));
    setup.issuer.answer("/api/user", Answer::json(&json!({ "id": 1, "login": "ada" })));
    assert!(matches!(recheck("access:gho_1").await, Recheck::Ended(ProviderError::OtherSubject)));
}

#[tokio::test]
async fn slow_lists_end_with_the_time_of_the_exchange() {
    // Each page is in time, and all together are not: a recheck that took minutes would be made by another gateway as well.
    let mut setup = setup("allowed_orgs = [\"example\"]").await;
    let full = Value::Array(vec![json!({ "login": "other" }); 100]);
    let page = Answer::json(&full).slow(Duration::from_millis(200));
    setup.issuer.answer("/api/user/orgs", page);
    setup.provider.exchange_limit = Duration::from_secs(1);
    let away = ProviderError::Away(Endpoint::Api, OutboundError::Timeout);
    assert_eq!(setup.at_github().await.unwrap_err(), away);
    assert!(setup.issuer.seen("/api/user/orgs").len() < 10);
    let rotated = json!({ "access_token": "gho_2", "token_type": "bearer", "refresh_token": "ghr_2" });
    setup.answer_token(rotated);
    let stored = Secret::new("ghr_1".to_owned());
    let recheck = setup.provider.recheck(&stored, &setup.account_at_github()).await;
    let Recheck::Undecided(error, Some(kept)) = recheck else { panic!("{recheck:?}") };
    assert_eq!((error, kept.expose().as_str()), (away, "ghr_2"), "the new token is not lost");
}
