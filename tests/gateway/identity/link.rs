//! Accounts on the account page: linked and unlinked by their owner, in a session that is fresh.

use std::time::Duration;

use doorward::id::UserId;
use serde_json::json;

use super::{OPEN, Surfer, World, ada_with};
use crate::browser::{Browser, ORIGIN, hidden, later, with};
use crate::support::{PASSWORD, Response};

/// Fields of the form with this action on the account page.
pub(super) fn form(page: &Response, action: &str) -> Vec<(String, String)> {
    let text = page.text();
    let form = text.split("<form").find(|form| form.contains(&format!("action=\"{action}\"")));
    let form = form.unwrap_or_else(|| panic!("no form {action}: {text}"));
    let tags = form.split("</form>").next().unwrap_or_default().split("<input type=\"hidden\"").skip(1);
    let part = |tag: &str, name: &str| {
        let rest = tag.split(&format!(" {name}=\"")).nth(1).expect("an attribute");
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    tags.map(|tag| (part(tag, "name"), part(tag, "value"))).collect()
}

const LINK: &str = "/auth/providers/sso/link";
const UNLINK: &str = "/auth/providers/sso/unlink";

/// A browser in which somebody has signed in with a password.
async fn by_password(world: &World, name: &str) -> Surfer {
    let mut surfer = world.surfer();
    let response = surfer.here.sign_in(name, PASSWORD, "/auth/login", &[]).await;
    assert_eq!(response.status, 303, "{}", response.text());
    surfer
}

/// Posts the form that links; returns the first response.
async fn begin(surfer: &mut Surfer) -> Response {
    let account = surfer.here.go("/auth/account").await;
    let fields = form(&account, LINK);
    surfer.here.post(LINK, &fields).await
}

/// Links a second account to the user `ada`, so that the first one can be unlinked.
async fn link_another(world: &World) {
    world.gateway.command(&["user", "link", "ada", "--provider", "sso", "--subject", "ada-2"]).await;
}

/// Number of accounts of a user.
async fn links(world: &World, user: UserId) -> usize {
    world.gateway.vault.identities.of_user(user).await.expect("links").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_account_signs_its_owner_in_until_it_is_unlinked() {
    let world = World::with("create_users = \"never\"").await;
    let bob = world.gateway.user("bob", &["staff"]).await;
    let mut surfer = by_password(&world, "bob").await;
    let leaving = begin(&mut surfer).await;
    let page = surfer.follow(leaving).await;
    assert!(page.text().contains("<title>Provider</title>"), "{}", page.text());
    let account = surfer.sign_in_there("ada").await;
    assert_eq!(
        (account.status, surfer.at.as_str()),
        (200, "http://gateway.test/auth/account"),
        "{}",
        account.text()
    );
    assert!(account.text().contains("Unlink Example SSO"), "{}", account.text());
    assert_eq!(links(&world, bob).await, 1);
    let mut by_provider = world.signed_in("ada").await;
    assert_eq!(by_provider.here.fetch("/").await.status, 200);
    assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some("bob"));
    // The account did not create the user: name and address stay the user's own.
    assert!(!by_provider.here.go("/auth/account").await.text().contains("Lovelace"));

    // Linking once more changes nothing.
    let fields = form(&surfer.here.go("/auth/account").await, UNLINK);
    let unlinked = surfer.here.post(UNLINK, &fields).await;
    assert_eq!(
        (unlinked.status, unlinked.header("location")),
        (303, Some("/auth/account")),
        "{}",
        unlinked.text()
    );
    assert_eq!(links(&world, bob).await, 0);
    assert_eq!(by_provider.here.fetch("/").await.status, 401, "the session that the account opened");
    assert_eq!(surfer.here.fetch("/").await.status, 200, "not this one");
    let page = world.surfer().sign_in("ada", "/").await;
    assert!(page.status == 403 && page.text().contains("provider_no_account"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn unlinking_takes_the_roles_of_the_account_away() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.fetch("/admin").await.status, 200);
    link_another(&world).await;
    let fields = form(&surfer.here.go("/auth/account").await, UNLINK);
    assert_eq!(surfer.here.post(UNLINK, &fields).await.status, 303);
    let last = surfer.here.fetch("/admin").await;
    assert_eq!(last.status, 403, "this browser stays signed in, without the role: {}", last.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_sign_in_links_and_unlinks_nothing() {
    let world = World::with(OPEN).await;
    let bob = world.gateway.user("bob", &[]).await;
    let mut surfer = by_password(&world, "bob").await;
    let mut of_ada = world.signed_in("ada").await;
    link_another(&world).await;
    later(&world.gateway, Duration::from_secs(601)).await;
    let to_step_up = |response: &Response| {
        let location = response.header("location").unwrap_or_default();
        response.status == 303 && location.starts_with("/auth/step-up?return_to=")
    };
    let refused = begin(&mut surfer).await;
    assert!(to_step_up(&refused), "{}", refused.text());
    assert_eq!(links(&world, bob).await, 0);
    let fields = form(&of_ada.here.go("/auth/account").await, UNLINK);
    let refused = of_ada.here.post(UNLINK, &fields).await;
    assert!(to_step_up(&refused), "{}", refused.text());
    assert_eq!(of_ada.here.fetch("/admin").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_way_to_sign_in_cannot_be_unlinked() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let key = doorward::vault::UserKey::Login("ada".parse().expect("a login name"));
    let ada = world.gateway.vault.users.find(&key).await.expect("an answer").expect("ada").id;
    let account = surfer.here.go("/auth/account").await;
    assert!(!account.text().contains(UNLINK), "{}", account.text());
    assert!(account.text().contains("You have no other way to sign in"), "{}", account.text());
    // Nor is there a password that could be changed.
    assert!(!account.text().contains("name=\"current_password\""), "{}", account.text());
    assert!(account.text().contains("change your password at the provider"), "{}", account.text());
    let password = surfer.here.go("/auth/password").await;
    assert_eq!((password.status, password.header("location")), (303, Some("/auth/account")));
    let shown = world.gateway.command(&["user", "show", "ada"]).await;
    assert!(shown.contains("\npassword    none\n"), "{shown}");
    // Whatever the form says.
    let issuer = world.provider.issuer();
    let fields = with(&with(&hidden(&account), "issuer", &issuer), "subject", "ada");
    let refused = surfer.here.post(UNLINK, &fields).await;
    assert!(refused.status == 403 && refused.text().contains("last_way_to_sign_in"), "{}", refused.text());
    assert_eq!(links(&world, ada).await, 1);
    // An account at a provider that is not configured signs nobody in.
    let old = ["--provider", "old", "--subject", "17", "--issuer", "https://old.example"];
    world.gateway.command(&[&["user", "link", "ada"], &old[..]].concat()).await;
    assert_eq!(surfer.here.post(UNLINK, &fields).await.status, 403);
    link_another(&world).await;
    let account = surfer.here.go("/auth/account").await;
    assert!(!account.text().contains("You have no other way to sign in"), "{}", account.text());
    assert_eq!(surfer.here.post(UNLINK, &fields).await.status, 303);
    assert_eq!(links(&world, ada).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_that_signs_nobody_in_is_no_other_way() {
    let world = World::with_login(OPEN, "password = false").await;
    world.gateway.user("bob", &[]).await;
    world.gateway.command(&["user", "link", "bob", "--provider", "sso", "--subject", "ada"]).await;
    let mut surfer = world.surfer();
    surfer.go(&format!("{ORIGIN}/")).await;
    let page = surfer.sign_in_there("ada").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let account = surfer.here.go("/auth/account").await;
    let issuer = world.provider.issuer();
    let fields = with(&with(&hidden(&account), "issuer", &issuer), "subject", "ada");
    let refused = surfer.here.post(UNLINK, &fields).await;
    assert!(refused.status == 403 && refused.text().contains("last_way_to_sign_in"), "{}", refused.text());
    // The operator may all the same.
    world.gateway.command(&["user", "unlink", "bob", "--provider", "sso", "--subject", "ada"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_of_a_link_counts_only_in_the_session_that_began_it() {
    let world = World::with("create_users = \"never\"").await;
    let (bob, eve) = (world.gateway.user("bob", &[]).await, world.gateway.user("eve", &[]).await);
    // Somebody else has signed in in this browser meanwhile, or nobody is signed in any more.
    for next in ["eve", "bob", ""] {
        let mut surfer = by_password(&world, "bob").await;
        surfer.stop_at = Some("/callback?");
        let leaving = begin(&mut surfer).await;
        surfer.follow(leaving).await;
        surfer.sign_in_there("ada").await;
        let callback = surfer.at.clone();
        surfer.stop_at = None;
        let flow = surfer.here.cookies.clone();
        let confirm = surfer.here.go("/auth/logout").await;
        surfer.submit(&confirm, "/auth/logout", &[]).await;
        if !next.is_empty() {
            surfer.here.sign_in(next, PASSWORD, "/auth/login", &[]).await;
        }
        let page = surfer.visit(&callback).await;
        assert_eq!(page.status, 400, "{next}: {}", page.text());
        assert!(page.text().contains("provider_flow_lost"), "{next}: {}", page.text());
        // The flow's cookie in the browser of an attacker, with a session of their own.
        let mut attacker = by_password(&world, "eve").await;
        attacker.here.cookies.extend(flow.into_iter().filter(|(name, _)| name.contains("-flow-")));
        assert_eq!(attacker.visit(&callback).await.status, 400);
    }
    assert_eq!((links(&world, bob).await, links(&world, eve).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn account_of_another_user_is_not_linked() {
    let world = World::with(OPEN).await;
    let bob = world.gateway.user("bob", &[]).await;
    world.signed_in("ada").await;
    let mut surfer = by_password(&world, "bob").await;
    let leaving = begin(&mut surfer).await;
    surfer.follow(leaving).await;
    let page = surfer.sign_in_there("ada").await;
    assert!(page.status == 403 && page.text().contains("account_taken"), "{}", page.text());
    assert_eq!(links(&world, bob).await, 0);
    // Nor unlinked, whatever the form says.
    let account = surfer.here.go("/auth/account").await;
    let mut fields = form(&account, LINK);
    fields = with(&with(&fields, "issuer", &world.provider.issuer()), "subject", "ada");
    let page = surfer.here.post(UNLINK, &fields).await;
    assert!(page.status == 403 && page.text().contains("provider_no_account"), "{}", page.text());
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.here.fetch("/admin").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_cannot_link_or_unlink() {
    let world = World::with(OPEN).await;
    let bob = world.gateway.user("bob", &[]).await;
    let mut surfer = by_password(&world, "bob").await;
    for target in [LINK, UNLINK] {
        assert_eq!(surfer.here.go(target).await.status, 405, "{target}");
        let fields = form(&surfer.here.go("/auth/account").await, LINK);
        let foreign =
            [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("Accept", "text/html")];
        assert_eq!(surfer.here.post_with(target, &fields, &foreign).await.status, 403, "{target}");
        for forged in [with(&fields, "csrf", "x"), with(&fields, "csrf", "")] {
            let refused = surfer.here.post(target, &forged).await;
            assert!(matches!(refused.status, 400 | 403), "{target}: {}", refused.text());
        }
        let mut stranger = Browser::new(&world.gateway);
        assert!(matches!(stranger.post(target, &fields).await.status, 400 | 403), "{target}");
    }
    // A signed-in browser is not sent to the provider by an address: nobody is signed in as somebody else unawares.
    let start = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/start")).await;
    assert_eq!((start.status, start.header("location")), (303, Some("/")));
    assert_eq!(links(&world, bob).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_user_leaves_no_account_behind() {
    let world = World::with(OPEN).await;
    world.signed_in("ada").await;
    let key = doorward::vault::UserKey::Login("ada".parse().expect("a login name"));
    let ada = world.gateway.vault.users.find(&key).await.expect("an answer").expect("ada");
    world.gateway.command(&["user", "delete", "ada", "--yes"]).await;
    assert_eq!(links(&world, ada.id).await, 0);
    // The same person is a new user.
    world.provider.put("ada", &ada_with(&json!({ "groups": [] }))).await;
    let mut again = world.signed_in("ada").await;
    assert_eq!(again.here.fetch("/admin").await.status, 403);
}
