//! People who may not sign in, or not yet, and addresses that belong to somebody else.

use doorward::id::{SystemRandom, UserId};
use doorward::identity::{Attributes, Roles};
use doorward::secret::Secret;
use doorward::vault::{NewAccountUser, ProviderAccount, Statement, User, UserChange, UserKey};
use serde_json::json;

use super::{OPEN, World, ada_with};
use crate::support::Response;

async fn user(world: &World, login: &str) -> Option<User> {
    let key = UserKey::Login(login.parse().expect("a login name"));
    world.gateway.vault.users.find(&key).await.expect("an answer")
}

/// Asserts that a page explains this refusal, and that nobody is signed in.
fn assert_refused(page: &Response, status: u16, code: &str) {
    assert_eq!(page.status, status, "{}", page.text());
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.text().contains(code), "{code}: {}", page.text());
    assert!(page.text().contains("href=\"/auth/login\""), "a way back: {}", page.text());
    assert!(!page.all("set-cookie").iter().any(|cookie| cookie.contains("-access=")), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_an_account_unless_the_operator_says_so() {
    let world = World::with("").await;
    let page = world.surfer().sign_in("ada", "/").await;
    assert_refused(&page, 403, "provider_no_account");
    assert!(user(&world, "ada").await.is_none());
    assert!(world.gateway.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_user_waits_for_approval() {
    let world = World::with("create_users = \"approve\"").await;
    for _ in 0..2 {
        let page = world.surfer().sign_in("ada", "/").await;
        assert_refused(&page, 403, "approval_pending");
    }
    let waiting = user(&world, "ada").await.expect("the user");
    assert!(waiting.disabled && waiting.waits_for_approval);
    world.gateway.vault.users.change(waiting.id, &UserChange::Disabled(false)).await.expect("approved");
    let mut surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    // Disabled later: no approval is pending.
    world.gateway.vault.users.change(waiting.id, &UserChange::Disabled(true)).await.expect("disabled");
    let page = world.surfer().sign_in("ada", "/").await;
    assert_refused(&page, 403, "account_disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_name_of_another_user_is_not_taken_over() {
    let world = World::with(OPEN).await;
    let local = world.gateway.user("ada", &["admin"]).await;
    let page = world.surfer().sign_in("ada", "/").await;
    assert_refused(&page, 403, "provider_login_taken");
    assert!(world.gateway.vault.identities.of_user(local).await.expect("links").is_empty());
    // A name in another case is the same name.
    world.provider.put("ada", &ada_with(&json!({ "preferred_username": "ADA" }))).await;
    assert_refused(&world.surfer().sign_in("ada", "/").await, 403, "provider_login_taken");
    for unusable in [json!(null), json!(""), json!("---"), json!(["ada"]), json!(7)] {
        world.provider.put("ada", &ada_with(&json!({ "preferred_username": unusable }))).await;
        assert_refused(&world.surfer().sign_in("ada", "/").await, 403, "provider_no_username");
    }
    assert_eq!(world.gateway.vault.users.list(None, 9).await.expect("a page").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_never_found_by_its_address_unless_trusted() {
    // N: e-mail takeover. Bob has ada's address here, verified.
    let world = World::with(OPEN).await;
    let bob = world.gateway.user("bob", &["ops"]).await;
    world.gateway.describe(bob, "ada@example.com", true, "Bob").await;
    world.signed_in("ada").await;
    let ada = user(&world, "ada").await.expect("a user of her own");
    assert_ne!(ada.id, bob);
    assert_eq!(ada.attributes.email(), None, "the address is bob's");
    assert_eq!(ada.attributes.name().map(|name| name.as_str().to_owned()).as_deref(), Some("Ada Lovelace"));
    // The address becomes free, and is hers at the next sign-in.
    world.gateway.vault.users.change(bob, &UserChange::Deleted).await.expect("deleted");
    world.signed_in("ada").await;
    let ada = user(&world, "ada").await.expect("the user");
    assert_eq!(
        ada.attributes.email().map(|email| email.as_str().to_owned()).as_deref(),
        Some("ada@example.com")
    );
    // Somebody else gets it at the provider: another subject is another person.
    world.provider.put("eve", &ada_with(&json!({ "preferred_username": "eve" }))).await;
    world.signed_in("eve").await;
    assert_eq!(user(&world, "eve").await.expect("a user of her own").attributes.email(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_address_links_only_if_both_sides_have_verified_it() {
    let world = World::with("trust_email = true\ncreate_users = \"never\"").await;
    let bob = world.gateway.user("bob", &[]).await;
    for (here, there) in [(false, true), (true, false), (false, false)] {
        world.gateway.describe(bob, "ada@example.com", here, "").await;
        world.provider.put("ada", &ada_with(&json!({ "email_verified": there }))).await;
        let page = world.surfer().sign_in("ada", "/").await;
        assert_refused(&page, 403, "provider_no_account");
    }
    for claim in [json!(null), json!("yes"), json!(1)] {
        world.gateway.describe(bob, "ada@example.com", true, "").await;
        world.provider.put("ada", &ada_with(&json!({ "email_verified": claim }))).await;
        assert_refused(&world.surfer().sign_in("ada", "/").await, 403, "provider_no_account");
    }
    world.provider.put("ada", &super::ada()).await;
    let mut surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some("bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_other_domains_are_refused() {
    let world = World::with("create_users = \"always\"\nallowed_domains = [\"example.com\"]").await;
    for (email, verified) in [
        ("ada@example.org", true),
        ("ada@example.com", false),
        ("ada@sub.example.com", true),
        ("a@example.com.evil", true),
    ] {
        let claims = ada_with(&json!({ "email": email, "email_verified": verified }));
        world.provider.put("ada", &claims).await;
        assert_refused(&world.surfer().sign_in("ada", "/").await, 403, "provider_not_allowed");
    }
    assert!(user(&world, "ada").await.is_none());
    world.provider.put("ada", &ada_with(&json!({ "email": "ada@EXAMPLE.com" }))).await;
    world.signed_in("ada").await;
}

/// An account that created a user with this verified address.
async fn origin(world: &World, provider: &str, login: &str, email: &str) -> UserId {
    let account = ProviderAccount {
        provider: provider.into(),
        issuer: format!("https://{provider}.example"),
        subject: login.into(),
    };
    let new = NewAccountUser {
        id: UserId::random(&SystemRandom),
        login: login.parse().expect("a login name"),
        password: Secret::new("none".to_owned()),
        waits_for_approval: false,
    };
    let attributes = Attributes::new(Some(email.parse().expect("an address")), true, None);
    let statement = Statement { roles: Some(Roles::default()), attributes, ..Statement::default() };
    world.gateway.vault.identities.create(&account, &new, &statement).await.expect("a user");
    new.id
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_address_is_not_linked_to_a_user_of_an_untrusted_provider() {
    // N4: somebody prepares a user with ada's address at a provider whose word about addresses is not trusted: one that is not
    // configured any more is the same.
    let world = World::with("trust_email = true\ncreate_users = \"never\"").await;
    let eve = origin(&world, "other", "eve", "ada@example.com").await;
    let page = world.surfer().sign_in("ada", "/").await;
    assert_refused(&page, 403, "provider_no_account");
    assert_eq!(world.gateway.vault.identities.of_user(eve).await.expect("links").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_address_that_was_given_to_another_person_is_not_linked() {
    // The address is reused at the provider: another subject is another person.
    let world = World::with("trust_email = true\ncreate_users = \"always\"").await;
    world.provider.put("old", &ada_with(&json!({ "preferred_username": "old" }))).await;
    world.signed_in("old").await;
    let old = user(&world, "old").await.expect("the user");
    assert!(old.attributes.email_verified());
    world.provider.remove("old").await;
    world.signed_in("ada").await;
    assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    assert_ne!(user(&world, "ada").await.expect("a user of her own").id, old.id);
    // Nor to a user of an operator that has an account there.
    let bob = world.gateway.user("bob", &[]).await;
    world.gateway.describe(bob, "bob@example.com", true, "").await;
    for (subject, login) in [("bob-1", "bob"), ("bob-2", "robert")] {
        let claims = json!({ "preferred_username": login, "email": "bob@example.com" });
        world.provider.put(subject, &ada_with(&claims)).await;
        world.signed_in(subject).await;
        assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some(login));
    }
    assert_eq!(world.gateway.vault.identities.of_user(bob).await.expect("links").len(), 1);
}
