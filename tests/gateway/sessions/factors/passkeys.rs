//! Passkeys: enrolment, sign-in alone, second step, step-up, and attacks on each (case N20).

use std::time::Duration;

use doorward::id::{SystemRandom, UserId};
use doorward::identity::Attributes;
use doorward::vault::{NewAccountUser, ProviderAccount, RemovedFactor, Statement, UserChange, UserKey};
use serde_json::{Value, json};

use super::authenticator::{Authenticator, ORIGIN, request};
use super::{App, at_second_step, enrol};
use crate::browser::{Browser, PAGE, hidden, later, with};
use crate::support::gateway::{ROUTES, Setup};
use crate::support::{PASSWORD, Response, TestGateway};

async fn gateway() -> TestGateway {
    let routes = format!("{ROUTES}{}", super::STRICT);
    TestGateway::with(Setup { routes, public_url: ORIGIN.to_owned(), ..Setup::default() }).await
}

type Fields = Vec<(String, String)>;

/// Changes what an authenticator answers to a request.
type Forgery = dyn Fn(&mut Authenticator, &Value) -> Value;

async fn post(here: &mut Browser, path: &str, fields: &Fields) -> Response {
    let own = [("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")];
    let headers: Vec<_> = PAGE.into_iter().chain(own).collect();
    here.post_with(path, fields, &headers).await
}

async fn sign_in(gateway: &TestGateway, name: &str) -> Browser {
    let mut here = Browser::new(gateway);
    let page = here.go("/auth/login").await;
    let fields = with(&with(&hidden(&page), "username", name), "password", PASSWORD);
    let done = post(&mut here, "/auth/login", &fields).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/")), "{}", done.text());
    here
}

/// Fields of a form of this page with the response to its request.
fn answer(page: &Response, response: &Value) -> Fields {
    let (_, state) = request(page);
    let fields = with(&hidden(page), "passkey_state", &state);
    with(&fields, "passkey", &response.to_string())
}

/// Enrols a passkey in a session.
async fn enrol_passkey(here: &mut Browser, change: impl FnOnce(&mut Authenticator)) -> Authenticator {
    let page = here.go("/auth/passkey").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (mut made, response) = Authenticator::create(&request(&page).0);
    let done = post(here, "/auth/passkey", &with(&answer(&page, &response), "name", "My laptop")).await;
    assert!(done.status == 200 || done.status == 303, "{}", done.text());
    change(&mut made);
    made
}

/// A user with a passkey.
async fn with_passkey(gateway: &TestGateway, name: &str) -> (Browser, Authenticator) {
    let mut here = sign_in(gateway, name).await;
    let passkey = enrol_passkey(&mut here, |_| {}).await;
    (here, passkey)
}

/// Answers the request of the sign-in page.
async fn use_alone(here: &mut Browser, passkey: &mut Authenticator) -> Response {
    let page = here.go("/auth/login").await;
    let response = passkey.get(&request(&page).0);
    post(here, "/auth/login", &answer(&page, &response)).await
}

async fn methods(here: &mut Browser) -> Value {
    let me: Value = serde_json::from_str(&here.fetch("/auth/me").await.text()).expect("JSON");
    me["amr"].clone()
}

fn is_refused(response: &Response) -> bool {
    response.status == 403 && response.text().contains("role=\"alert\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_signs_in_alone_and_returns_to_the_page() {
    let gateway = gateway().await;
    let ada = gateway.user("ada", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let login = here.go("/app/page?x=1").await.header("location").expect("the sign-in page").to_owned();
    let page = here.go(&login).await;
    assert!(page.text().contains("autocomplete=\"username webauthn\""), "{}", page.text());
    let (options, _) = request(&page);
    assert_eq!(
        (&options["rpId"], &options["userVerification"]),
        (&json!("gateway.test"), &json!("required"))
    );
    assert_eq!(options["allowCredentials"], json!([]), "it tells nobody who has passkeys");
    let done = post(&mut here, "/auth/login", &answer(&page, &passkey.get(&options))).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/app/page?x=1")), "{}", done.text());
    assert_eq!(methods(&mut here).await, json!(["hwk", "user", "mfa"]));
    assert_eq!(here.go("/vault").await.status, 200, "a route that needs two factors");
    let stored = &gateway.vault.factors.of_user(ada).await.expect("factors").passkeys[0];
    assert!(stored.sign_count == 1 && stored.used_at.is_some() && stored.name == "My laptop", "{stored:?}");
    let account = here.go("/auth/account").await.text();
    assert!(account.contains("My laptop") && account.contains("signalAllAcceptedCredentials"), "{account}");
    assert_eq!(gateway.metric(r#"doorward_factor_checks_total{kind="passkey",outcome="ok"}"#).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn response_works_once_at_all_gateways_and_in_its_browser_only() {
    let gateway = gateway().await;
    gateway.user("ada", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let elsewhere = gateway.elsewhere().await;
    let mut here = Browser::new(&gateway);
    let page = here.go("/auth/login").await;
    let fields = answer(&page, &passkey.get(&request(&page).0));
    let mut other = Browser::new(&gateway);
    let own = other.go("/auth/login").await;
    let stolen = with(
        &with(&hidden(&own), "passkey_state", &request(&page).1),
        "passkey",
        &fields.last().expect("it").1,
    );
    assert_ne!(post(&mut other, "/auth/login", &stolen).await.status, 303, "in another browser");
    let (mut one, mut two) = (here.clone(), here.at(&elsewhere));
    let (first, second) =
        tokio::join!(post(&mut one, "/auth/login", &fields), post(&mut two, "/auth/login", &fields));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403], "one of two at the same time");
    assert!(is_refused(&post(&mut here, "/auth/login", &fields).await), "later");
    // A page that was open for long: a new request, and no harm.
    let page = here.go("/auth/logout").await;
    assert_eq!(page.status, 200);
    let mut late = Browser::new(&gateway);
    let page = late.go("/auth/login").await;
    later(&gateway, Duration::from_secs(3601)).await;
    let again = post(&mut late, "/auth/login", &answer(&page, &passkey.get(&request(&page).0))).await;
    assert_eq!(again.status, 400, "{}", again.text());
    let done = post(&mut late, "/auth/login", &answer(&again, &passkey.get(&request(&again).0))).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_responses_are_refused() {
    let gateway = gateway().await;
    gateway.user("ada", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let forgeries: [&Forgery; 6] = [
        &|passkey, options| passkey.get_at(options, "https://evil.gateway.test"),
        &|passkey, options| {
            passkey.verifies = false;
            passkey.get(options)
        },
        &|passkey, options| {
            passkey.synced = true;
            passkey.get(options)
        },
        &|passkey, options| {
            let mut response = passkey.get(options);
            response["response"]["signature"] = "AAAA".into();
            response
        },
        &|passkey, options| {
            let mut response = passkey.get(options);
            response["response"]["userHandle"] = Value::Null;
            response
        },
        &|passkey, options| passkey.get(&json!({"challenge": "AAAA", "rpId": options["rpId"]})),
    ];
    for (at, forge) in forgeries.iter().enumerate() {
        let page = here.go("/auth/login").await;
        let response = forge(&mut passkey, &request(&page).0);
        (passkey.verifies, passkey.synced) = (true, false);
        let refused = post(&mut here, "/auth/login", &answer(&page, &response)).await;
        assert!(is_refused(&refused), "{at}: {} {}", refused.status, refused.text());
        assert!(!here.cookies.contains_key("__Host-doorward-access"), "{at}");
    }
    for text in ["{}", "not JSON", &"x".repeat(12_000)] {
        let page = here.go("/auth/login").await;
        let fields = with(&answer(&page, &Value::Null), "passkey", text);
        assert!(is_refused(&post(&mut here, "/auth/login", &fields).await), "{text:.20}");
    }
    assert_eq!(use_alone(&mut here, &mut passkey).await.status, 303, "the real one");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_passkey_and_disabled_user_are_refused() {
    let gateway = gateway().await;
    let ada = gateway.user("ada", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let disable = async |disabled| {
        gateway.vault.users.change(ada, &UserChange::Disabled(disabled)).await.expect("changed")
    };
    disable(true).await;
    assert!(is_refused(&use_alone(&mut here, &mut passkey).await));
    disable(false).await;
    assert_eq!(use_alone(&mut here.clone(), &mut passkey).await.status, 303);
    let removed = RemovedFactor::Passkey(passkey.id.clone());
    gateway.vault.factors.remove(ada, &removed, None, false).await.expect("removed");
    let refused = use_alone(&mut here, &mut passkey).await;
    assert!(is_refused(&refused), "{}", refused.text());
    assert!(
        refused.text().contains("signalUnknownCredential"),
        "the browser can forget it: {}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_the_second_factor_beside_a_password() {
    let gateway = gateway().await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let (_, mut of_bob) = with_passkey(&gateway, "bob").await;
    let mut here = Browser::new(&gateway);
    let page = here.go("/auth/login").await;
    let fields = with(&with(&hidden(&page), "username", "ada"), "password", PASSWORD);
    let begun = post(&mut here, "/auth/login", &fields).await;
    assert_eq!((begun.status, begun.header("location")), (303, Some("/auth/login/factor")));
    let page = here.go("/auth/login/factor").await;
    let (options, _) = request(&page);
    assert_eq!(options["allowCredentials"].as_array().map(Vec::len), Some(1), "{options}");
    let bobs = post(&mut here, "/auth/login/factor", &answer(&page, &of_bob.get(&options))).await;
    assert!(is_refused(&bobs), "{}", bobs.text());
    // A request of another purpose: the sign-in page's.
    let mut other = Browser::new(&gateway);
    let alone = other.go("/auth/login").await;
    let (foreign, state) = request(&alone);
    let mixed = with(&answer(&page, &passkey.get(&foreign)), "passkey_state", &state);
    assert_ne!(post(&mut here, "/auth/login/factor", &mixed).await.status, 303);
    passkey.verifies = false;
    let page = here.go("/auth/login/factor").await;
    let response = passkey.get(&request(&page).0);
    let done = post(&mut here, "/auth/login/factor", &answer(&page, &response)).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/")), "{}", done.text());
    assert_eq!(methods(&mut here).await, json!(["pwd", "hwk", "mfa"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn step_up_takes_a_passkey() {
    let gateway = gateway().await;
    gateway.user("ada", &["admin"]).await;
    let (mut here, mut passkey) = with_passkey(&gateway, "ada").await;
    later(&gateway, Duration::from_mins(16)).await;
    let asked = here.go("/payroll/may").await;
    let to = asked.header("location").expect("the step-up page").to_owned();
    assert!(to.starts_with("/auth/step-up?"), "{to}");
    let before = here.access().to_owned();
    let page = here.go(&to).await;
    let response = passkey.get(&request(&page).0);
    let done = post(&mut here, "/auth/step-up", &answer(&page, &response)).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/payroll/may")), "{}", done.text());
    assert_ne!(here.access(), before);
    assert_eq!(here.go("/payroll/may").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_enrolled_once_and_for_its_owner() {
    let gateway = gateway().await;
    let (ada, bob) = (gateway.user("ada", &[]).await, gateway.user("bob", &[]).await);
    let mut here = sign_in(&gateway, "ada").await;
    let page = here.go("/auth/passkey").await;
    let (mut passkey, response) = Authenticator::create(&request(&page).0);
    let fields = answer(&page, &response);
    let mut of_bob = sign_in(&gateway, "bob").await;
    let own = of_bob.go("/auth/passkey").await;
    let stolen =
        with(&with(&hidden(&own), "passkey_state", &request(&page).1), "passkey", &response.to_string());
    assert_ne!(post(&mut of_bob, "/auth/passkey", &stolen).await.status, 200, "ada's request");
    let done = post(&mut here, "/auth/passkey", &fields).await;
    assert_eq!((done.status, super::codes_on(&done).len()), (200, 10), "{}", done.text());
    assert_eq!(methods(&mut here).await, json!(["pwd", "hwk", "user", "mfa"]));
    assert!(gateway.vault.factors.of_user(bob).await.expect("factors").passkeys.is_empty());
    let next = here.go("/auth/passkey").await;
    let excluded = request(&next).0["excludeCredentials"].clone();
    assert_eq!(excluded.as_array().map(Vec::len), Some(1), "{excluded}");
    // The same credential again, for a new request of bob.
    let page = of_bob.go("/auth/passkey").await;
    let (_, second) = Authenticator::create(&request(&page).0);
    assert_ne!(second["id"], response["id"]);
    assert_eq!(post(&mut of_bob, "/auth/passkey", &answer(&page, &second)).await.status, 200);
    assert_eq!(use_alone(&mut Browser::new(&gateway), &mut passkey).await.status, 303);
    assert_eq!(gateway.vault.factors.of_user(ada).await.expect("factors").passkeys.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_of_a_provider_signs_in_there_first() {
    let gateway = gateway().await;
    let ada = gateway.user("ada", &[]).await;
    let hash = gateway.vault.users.find(&UserKey::Id(ada)).await.expect("an answer").expect("ada").password;
    let account = ProviderAccount {
        provider: "sso".to_owned(),
        issuer: "https://sso.example.com".to_owned(),
        subject: "1".to_owned(),
    };
    let statement = Statement { roles: None, roles_stay: None, attributes: Attributes::NONE };
    let new = NewAccountUser {
        id: UserId::random(&SystemRandom),
        login: "eve".parse().expect("a login"),
        password: hash,
        waits_for_approval: false,
    };
    gateway.vault.identities.create(&account, &new, &statement).await.expect("created");
    let (_, mut passkey) = with_passkey(&gateway, "eve").await;
    let refused = use_alone(&mut Browser::new(&gateway), &mut passkey).await;
    assert!(is_refused(&refused) && refused.text().contains("provider first"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_offered_once_to_browsers_that_can_have_one() {
    let gateway = gateway().await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::new(&gateway);
    let page = here.go("/auth/login").await;
    let fields = with(&with(&hidden(&page), "username", "ada"), "password", PASSWORD);
    let done = post(&mut here, "/auth/login", &with(&fields, "can_passkey", "1")).await;
    let offer = done.header("location").expect("the offer").to_owned();
    assert!(done.status == 303 && offer.starts_with("/auth/passkey?return_to="), "{offer}");
    let page = here.go(&offer).await;
    let put_off = post(&mut here, "/auth/passkey", &with(&hidden(&page), "later", "1")).await;
    assert_eq!((put_off.status, put_off.header("location")), (303, Some("/")), "{}", put_off.text());
    let mut again = Browser::new(&gateway);
    again.cookies = here.cookies.clone().into_iter().filter(|(name, _)| name.contains("put-off")).collect();
    assert_eq!(again.cookies.len(), 1);
    let page = again.go("/auth/login").await;
    let fields = with(&with(&hidden(&page), "username", "ada"), "password", PASSWORD);
    let done = post(&mut again, "/auth/login", &with(&fields, "can_passkey", "1")).await;
    assert_eq!(done.header("location"), Some("/"), "{}", done.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passkeys_are_limited_apart_from_passwords() {
    let gateway = TestGateway::with(Setup {
        public_url: ORIGIN.to_owned(),
        login: "attempts_per_address = 5".to_owned(),
        ..Setup::default()
    })
    .await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    let (_, mut passkey) = with_passkey(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    for _ in 0..5 {
        let page = here.go("/auth/login").await;
        let response = passkey.get_at(&request(&page).0, "https://evil.test");
        assert!(is_refused(&post(&mut here, "/auth/login", &answer(&page, &response)).await));
    }
    assert_eq!(use_alone(&mut here, &mut passkey).await.status, 429);
    let mut there = sign_in(&gateway, "bob").await;
    assert_eq!(there.fetch("/").await.status, 200, "passwords go on");
    later(&gateway, Duration::from_secs(2)).await;
    assert_eq!(use_alone(&mut here, &mut passkey).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_passkeys_where_they_are_off_or_the_host_has_none() {
    for (login, public_url) in
        [("passkeys = false", ORIGIN), ("", "http://gateway.test"), ("", "https://127.0.0.1")]
    {
        let setup = Setup { login: login.to_owned(), public_url: public_url.to_owned(), ..Setup::default() };
        let gateway = TestGateway::with(setup).await;
        let page = Browser::new(&gateway).go("/auth/login").await;
        assert!(page.status == 200 && !page.text().contains("passkey"), "{}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_page_gives_nothing_to_a_sign_in_that_waits_for_a_code() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let mut owner = Browser::signed_in(&gateway, "ada").await;
    enrol(&gateway, &mut owner).await;
    let mut thief = at_second_step(&gateway, "ada", "/auth/login").await;
    let page = thief.go("/auth/login/factor").await;
    let shown = thief.go("/auth/login/enrol").await;
    assert_eq!((shown.status, shown.header("location")), (303, Some("/auth/login/factor")));
    // An empty form, and one with a secret that was sealed for somebody else.
    let asked = thief.post("/auth/login/enrol", &hidden(&page)).await;
    assert!(!asked.text().contains("<code class=\"key\">"), "{}", asked.text());
    let fields = with(&with(&hidden(&page), "secret", "AAAA"), "code", "123456");
    let asked = thief.post("/auth/login/enrol", &fields).await;
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, Some("/auth/login/factor")),
        "{}",
        asked.text()
    );
    assert!(!thief.cookies.contains_key("__Host-doorward-access"));
    assert_eq!(gateway.vault.factors.of_user(ada).await.expect("factors").totp.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_that_waits_for_an_enrolment_ends_when_a_factor_is_enrolled_elsewhere() {
    let login = "factor = \"mfa\"\nfactor_grace = \"0s\"".to_owned();
    let gateway = TestGateway::with(Setup { login, ..Setup::default() }).await;
    let ada = gateway.user("ada", &[]).await;
    let (mut thief, mut owner) = (Browser::new(&gateway), Browser::new(&gateway));
    for here in [&mut thief, &mut owner] {
        let begun = here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
        assert_eq!(begun.header("location"), Some("/auth/login/enrol"), "{}", begun.text());
    }
    let of_thief = thief.go("/auth/login/enrol").await;
    let page = owner.go("/auth/login/enrol").await;
    let fields = with(&hidden(&page), "code", &App::set_up(&page).code(&gateway));
    let done = owner.post("/auth/login/enrol", &fields).await;
    assert_eq!((done.status, super::codes_on(&done).len()), (200, 10), "{}", done.text());
    let fields = with(&hidden(&of_thief), "code", &App::set_up(&of_thief).code(&gateway));
    let late = thief.post("/auth/login/enrol", &fields).await;
    assert_eq!((late.status, late.header("location")), (303, Some("/auth/login")), "{}", late.text());
    assert!(!thief.cookies.contains_key("__Host-doorward-access"));
    assert_eq!(gateway.vault.factors.of_user(ada).await.expect("factors").totp.len(), 1);
}
