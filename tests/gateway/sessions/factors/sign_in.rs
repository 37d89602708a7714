//! The second step of a sign-in.

use std::time::Duration;

use doorward::secret::Secret;
use doorward::vault::{UserChange, UserKey};

use super::{A_STEP, at_second_step, enter, with_app};
use crate::browser::{Browser, hidden, later, with};
use crate::support::{PASSWORD, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn password_and_code_sign_in_where_one_alone_does_not() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["staff"]).await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let first = Browser::new(&gateway).go("/app/page?x=1").await;
    let login = first.header("location").expect("the sign-in page").to_owned();
    let mut here = at_second_step(&gateway, "ada", &login).await;
    assert!(!here.cookies.contains_key("__Host-doorward-access"), "no session yet: {:?}", here.cookies);
    assert_eq!(here.fetch("/").await.status, 401);
    let wrong = enter(&mut here, &app.wrong(&gateway)).await;
    assert!(wrong.status == 403 && wrong.text().contains("role=\"alert\""), "{}", wrong.text());
    let right = enter(&mut here, &app.code(&gateway)).await;
    assert_eq!((right.status, right.header("location")), (303, Some("/app/page?x=1")), "{}", right.text());
    assert_eq!(here.fetch("/").await.status, 200);
    let me: serde_json::Value = serde_json::from_str(&here.fetch("/auth/me").await.text()).expect("JSON");
    assert_eq!(me["amr"], serde_json::json!(["pwd", "otp", "mfa"]), "{me}");
    assert_eq!(me["acr"], "urn:doorward:acr:mfa");
    assert!(!here.cookies.contains_key("__Host-doorward-pending"), "{:?}", here.cookies);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_works_once_at_all_gateways() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let elsewhere = gateway.elsewhere().await;
    let code = app.code(&gateway);
    let (mut one, mut other) = (
        at_second_step(&gateway, "ada", "/auth/login").await,
        at_second_step(&elsewhere, "ada", "/auth/login").await,
    );
    let (first, second) = tokio::join!(enter(&mut one, &code), enter(&mut other, &code));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403], "one of two at the same time");
    let mut late = at_second_step(&gateway, "ada", "/auth/login").await;
    for typed in [code.clone(), format!(" {} {} ", &code[..3], &code[3..])] {
        assert_eq!(enter(&mut late, &typed).await.status, 403, "{typed:?}: used");
    }
    later(&gateway, A_STEP).await;
    assert_eq!(enter(&mut late, &app.code(&gateway)).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_code_stands_in_for_the_app_once() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let (_, _, codes) = with_app(&gateway, "ada").await;
    assert_eq!(codes.len(), 10);
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    let typed = codes[0].to_lowercase().replace('-', " ");
    assert_eq!(enter(&mut here, &typed).await.status, 303);
    let mut again = at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(enter(&mut again, &codes[0]).await.status, 403, "used");
    let left = gateway.vault.factors.of_user(ada).await.expect("factors").recovery_codes;
    assert_eq!(left, 9);
    // Another user's code.
    gateway.user("bob", &[]).await;
    let (_, _, of_bob) = with_app(&gateway, "bob").await;
    assert_eq!(enter(&mut again, &of_bob[0]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_sign_in_is_no_session() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let (signed_in, app, _) = with_app(&gateway, "ada").await;
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    for path in ["/", "/auth/account", "/auth/totp", "/auth/step-up", "/auth/sessions", "/auth/password"] {
        let page = here.go(path).await;
        assert_eq!(page.status, 303, "{path}: {}", page.text());
        let location = page.header("location").unwrap_or_default().to_owned();
        assert!(location.starts_with("/auth/login"), "{path}: {location}");
    }
    // Nor do the forms of a session count with its cookie.
    let page = signed_in.clone().go("/auth/totp").await;
    let fields = with(&hidden(&page), "code", &app.code(&gateway));
    for path in ["/auth/totp", "/auth/totp/remove", "/auth/recovery-codes", "/auth/step-up"] {
        let refused = here.post(path, &fields).await;
        assert!(
            refused.status == 403 || refused.status == 303,
            "{path}: {} {}",
            refused.status,
            refused.text()
        );
        assert!(!here.cookies.contains_key("__Host-doorward-access"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_step_belongs_to_one_browser_and_ends_in_ten_minutes() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let mut stranger = Browser::new(&gateway);
    let page = stranger.go("/auth/login/factor").await;
    assert_eq!((page.status, page.header("location")), (303, Some("/auth/login")));
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    let form = here.go("/auth/login/factor").await;
    // The form of another browser.
    let mut other = at_second_step(&gateway, "ada", "/auth/login").await;
    let refused = other.post("/auth/login/factor", &with(&hidden(&form), "code", &app.code(&gateway))).await;
    assert!(refused.status == 403 && !other.cookies.contains_key("__Host-doorward-access"));
    later(&gateway, Duration::from_secs(601)).await;
    let late = here.post("/auth/login/factor", &with(&hidden(&form), "code", &app.code(&gateway))).await;
    assert_eq!((late.status, late.header("location")), (303, Some("/auth/login")), "{}", late.text());
    assert!(!here.cookies.contains_key("__Host-doorward-access"));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_password_ends_a_pending_sign_in() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mut signed_in, app, _) = with_app(&gateway, "ada").await;
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    let page = signed_in.go("/auth/password").await;
    let fields =
        with(&with(&hidden(&page), "current_password", PASSWORD), "new_password", "a new long password");
    assert_eq!(signed_in.post("/auth/password", &fields).await.status, 200);
    let page = here.go("/auth/login/factor").await;
    assert_eq!((page.status, page.header("location")), (303, Some("/auth/login")));
    assert!(app.code(&gateway).len() == 6 && !here.cookies.contains_key("__Host-doorward-pending"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_limited_across_browsers_and_gateways() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (_, app, codes) = with_app(&gateway, "ada").await;
    let elsewhere = gateway.elsewhere().await;
    let mut limited = 0;
    for round in 0..6 {
        for place in [&gateway, &elsewhere] {
            let mut here = at_second_step(place, "ada", "/auth/login").await;
            let refused = enter(&mut here, &app.wrong(&gateway)).await;
            assert!(matches!(refused.status, 403 | 429), "{round}: {}", refused.text());
            limited += usize::from(refused.status == 429);
        }
    }
    assert_eq!(limited, 2, "ten tries, wherever they come from");
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    let refused = enter(&mut here, &app.code(&gateway)).await;
    assert_eq!(refused.status, 429, "not even the right one: {}", refused.text());
    assert!(refused.header("retry-after").is_some());
    // Text that is no code costs nothing, and is no oracle.
    assert_eq!(enter(&mut here, "hello").await.status, 403);
    // Nobody guesses a recovery code: a stranger who knows the password does not lock the owner out.
    let mut owner = at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(enter(&mut owner, "ABCD-EFGH-JKLM-NPQR").await.status, 403);
    let mut locked = at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(enter(&mut locked, &app.code(&gateway)).await.status, 429, "a wrong one forgets no tries");
    assert_eq!(enter(&mut owner, &codes[0]).await.status, 303);
    later(&gateway, Duration::from_mins(15)).await;
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(enter(&mut here, &app.code(&gateway)).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_tells_nothing_about_the_second_factor() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    with_app(&gateway, "ada").await;
    let mut pages = Vec::new();
    for name in ["ada", "bob", "nobody"] {
        let refused =
            Browser::new(&gateway).sign_in(name, "not the right password", "/auth/login", &[]).await;
        let text = refused.text().replace(name, "NAME");
        // The form token is another one each time.
        let parts: Vec<&str> = text.split("name=\"csrf\" value=\"").collect();
        let rest = parts[1].split_once('"').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        pages.push((refused.status, parts[0].to_owned(), rest));
    }
    assert!(pages.iter().all(|page| page.0 == 401 && *page == pages[0]), "{pages:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_hash_is_renewed_at_a_sign_in_with_a_second_factor() {
    // A bcrypt hash of "violet kettle harbour l\u{e4}ntern", made by bcrypt 5.0.0 of PyPI.
    let imported = "$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2";
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let stored = Secret::new(imported.to_owned());
    let change = UserChange::Password { new: stored, expected: None, keep: None };
    gateway.vault.users.change(ada, &change).await.expect("a change");
    let mut here = Browser::new(&gateway);
    let response = here.sign_in("ada", "violet kettle harbour l\u{e4}ntern", "/auth/login", &[]).await;
    assert_eq!(response.header("location"), Some("/auth/login/factor"));
    assert_eq!(enter(&mut here, &app.code(&gateway)).await.status, 303, "the renewal voids no sign-in");
    assert_eq!(here.fetch("/").await.status, 200);
    let user = gateway.vault.users.find(&UserKey::Id(ada)).await.expect("an answer").expect("ada");
    assert!(user.password.expose().starts_with("$argon2id$"), "{:?}", user.login);
}
