//! First and later sign-ins: the user's attributes, the return, "keep me signed in".

use doorward::id::base64url;
use doorward::identity::Attributes;
use doorward::vault::{SessionPage, UserKey};
use serde_json::json;

use super::{OPEN, World, ada_with};
use crate::browser::ORIGIN;
use crate::forwarding::encrypted_claims::{self, Library};
use crate::support::TestGateway;

/// The user with this login name.
async fn user(gateway: &TestGateway, login: &str) -> Option<doorward::vault::User> {
    let key = UserKey::Login(login.parse().expect("a login name"));
    gateway.vault.users.find(&key).await.expect("an answer")
}

fn attributes(email: Option<&str>, verified: bool, name: &str) -> Attributes {
    let email = email.map(|email| email.parse().expect("an address"));
    Attributes::new(email, verified, Some(name.parse().expect("a name")))
}

#[tokio::test(flavor = "multi_thread")]
async fn first_sign_in_creates_the_user_and_later_ones_find_it() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let page = surfer.sign_in("ada", "/admin/reports?year=2026&q=a%2Fb").await;
    assert_eq!(
        (page.status, surfer.at.as_str()),
        (200, "http://gateway.test/admin/reports?year=2026&q=a%2Fb")
    );
    let seen = world.gateway.app.last();
    assert_eq!(seen.header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-auth-roles").as_deref(), Some("admin"));
    assert_eq!(seen.header("cookie"), None, "ours stay here");
    let created = user(&world.gateway, "ada").await.expect("the user");
    assert_eq!(created.attributes, attributes(Some("ada@example.com"), true, "Ada Lovelace"));
    assert!(!created.disabled && !created.waits_for_approval);
    let me = surfer.here.fetch("/auth/me").await;
    assert_eq!((me.status, me.json()["email"].as_str()), (200, Some("ada@example.com")), "{}", me.text());
    // Its password is none that anybody could know.
    let wrong =
        world.gateway.post("/auth/login", None, &json!({ "username": "ada", "password": "guess" })).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());

    // Another browser, and the same person under a new name at the provider.
    let renamed =
        ada_with(&json!({ "preferred_username": "countess", "name": "Countess", "email_verified": false }));
    world.provider.put("ada", &renamed).await;
    let mut other = world.signed_in("ada").await;
    assert_eq!(other.here.fetch("/").await.status, 200);
    let same = user(&world.gateway, "ada").await.expect("the user");
    assert_eq!(same.id, created.id);
    assert_eq!(same.attributes, attributes(Some("ada@example.com"), false, "Countess"));
    assert_eq!(world.gateway.vault.users.list(None, 9).await.expect("a page").len(), 1);
    let links = world.gateway.vault.identities.of_user(same.id).await.expect("links");
    let [link] = links.as_slice() else { panic!("{links:?}") };
    assert_eq!(
        (link.account.subject.as_str(), link.account.issuer.as_str()),
        ("ada", &*world.provider.issuer())
    );
    assert!(link.is_origin);
    // Both sessions are there, and neither names the provider's tokens.
    let sessions =
        world.gateway.vault.sessions.list(Some(same.id), SessionPage::first(9)).await.expect("a page");
    assert_eq!(sessions.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_at_a_provider_encrypts_what_it_says_of_the_person() {
    let key = base64url([7; 32]);
    let setting = format!("[tokens.encrypted_claims]\nclaims = [\"email\", \"name\"]\nkey = \"{key}\"");
    let world = World::with_login(OPEN, &setting).await;
    std::fs::write(world.gateway.folder.path().join("claims.key"), key).expect("written");
    let mut surfer = world.signed_in("ada").await;
    world.later(std::time::Duration::from_mins(16)).await;
    let first = surfer.here.access().to_owned();
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_ne!(surfer.here.access(), first, "rechecked and renewed");
    for token in [&first, surfer.here.access()] {
        // joserfc takes the gateway's clock, which was advanced, for the future.
        let opened = encrypted_claims::open(Library::Jose, &world.gateway, "claims.key", token).await;
        let opened = opened.expect("opened");
        assert_eq!(
            [&opened["email"], &opened["email_verified"], &opened["name"]],
            [&json!("ada@example.com"), &json!(true), &json!("Ada Lovelace")]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_session_replaces_the_one_before_in_the_same_browser() {
    let world = World::with(OPEN).await;
    let bob = world.gateway.user("bob", &[]).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    surfer.here.sign_in("bob", crate::support::PASSWORD, "/auth/login", &[]).await;
    let of_bob = surfer.here.refresh().to_owned();
    let page = surfer.go(&callback).await;
    assert_eq!((page.status, world.gateway.app.last().header("x-auth-user").as_deref()), (200, Some("ada")));
    assert_ne!(surfer.here.refresh(), of_bob);
    let left = world.gateway.vault.sessions.list(Some(bob), SessionPage::first(9)).await.expect("a page");
    assert!(left.is_empty(), "bob's session ended: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn remembered_sign_in_outlives_the_browser() {
    let world = World::with(OPEN).await;
    for (remember, lives) in [("", false), ("?remember=on", true)] {
        let mut surfer = world.surfer();
        surfer.stop_at = Some("/callback?");
        surfer.go(&format!("{ORIGIN}/auth/providers/sso/start{remember}")).await;
        surfer.sign_in_there("ada").await;
        let callback = surfer.at.clone();
        let signed_in = surfer.visit(&callback).await;
        assert_eq!(
            (signed_in.status, signed_in.header("location")),
            (303, Some("/")),
            "{}",
            signed_in.text()
        );
        assert_eq!(signed_in.header("cache-control"), Some("no-store"));
        let set = signed_in.all("set-cookie");
        for name in ["__Host-doorward-access=", "__Host-doorward-refresh="] {
            let cookie = set.iter().find(|cookie| cookie.starts_with(name)).expect("set");
            assert!(cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(cookie.contains("Max-Age="), lives, "{remember}: {cookie}");
        }
        // The flow is used up.
        let gone =
            |cookie: &&&str| cookie.starts_with("__Host-doorward-flow-") && cookie.contains("Max-Age=0");
        assert_eq!(set.iter().filter(gone).count(), 1, "{set:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_provider_replaces_are_fetched_once() {
    let world = World::with(OPEN).await;
    world.signed_in("ada").await;
    let before = world.fetches_of_keys().await;
    world.provider.rotate_keys().await;
    // The set was fetched just now; a stranger must not make the gateway fetch it for each token.
    world.later(std::time::Duration::from_secs(61)).await;
    for _ in 0..3 {
        world.signed_in("ada").await;
    }
    assert_eq!(world.fetches_of_keys().await, before + 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_whose_clock_is_off_is_refused_beyond_the_leeway() {
    let world = World::with(OPEN).await;
    // Each round puts it another 45 s ahead.
    for (ahead, status) in [(45, 200), (90, 502)] {
        let mut surfer = world.surfer();
        let callback = surfer.up_to_callback("ada", "/").await;
        world.provider.advance(std::time::Duration::from_secs(45)).await;
        let page = surfer.go(&callback).await;
        assert_eq!(page.status, status, "{ahead} s: {}", page.text());
    }
    // Behind, an ID token looks older than it is, which is accepted for eleven minutes.
    let world = World::with(OPEN).await;
    for (more, behind, status) in [(600, 600, 200), (120, 720, 502)] {
        crate::browser::later(&world.gateway, std::time::Duration::from_secs(more)).await;
        let page = world.surfer().sign_in("ada", "/").await;
        assert_eq!(page.status, status, "{behind} s: {}", page.text());
    }
}
