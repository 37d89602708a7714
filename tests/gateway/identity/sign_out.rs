//! Sign-out here and at the provider (OpenID Connect RP-Initiated Logout 1.0).

use std::time::Duration;

use doorward::vault::{SessionPage, UserKey};
use tokio::time::Instant;

use super::surfer::link;
use super::{OPEN, Surfer, World};
use crate::browser::{ORIGIN, hidden};
use crate::support::assert_eventually;
use crate::support::gateway::SOON;

/// Number of live sessions of ada.
async fn sessions(world: &World) -> usize {
    let key = UserKey::Login("ada".parse().expect("a login name"));
    let ada = world.gateway.vault.users.find(&key).await.expect("an answer").expect("ada");
    world.gateway.vault.sessions.list(Some(ada.id), SessionPage::first(9)).await.expect("a page").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_ends_the_session_here_and_there_and_comes_back() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in("ada").await;
    let confirm = surfer.here.go("/auth/logout").await;
    surfer.trail.clear();
    let page = surfer.submit(&confirm, "/auth/logout", &[]).await;
    let to = surfer.trail.first().expect("a URL").clone();
    assert!(to.starts_with(&world.provider.issuer()), "{to}");
    for parameter in ["id_token_hint=ey", "client_id=doorward", "post_logout_redirect_uri=http", "state="] {
        assert!(to.contains(parameter), "{parameter}: {to}");
    }
    assert_eq!(sessions(&world).await, 0, "ended before the browser left");
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
    let back = surfer.confirm_there(&page).await;
    assert!(
        surfer.at.starts_with(&format!("{ORIGIN}/auth/providers/sso/signed-out?state=")),
        "{}",
        surfer.at
    );
    assert!(back.status == 200 && back.text().contains("You are signed out"), "{}", back.text());
    // Signed out there as well: it asks for the name again.
    let page = surfer.choose("/").await;
    assert!(page.text().contains("<title>Provider</title>"), "{}", page.text());
}

/// Asserts that ada's sign-out ends her session, and that the page says what she may have to do herself.
async fn assert_signed_out_here_alone(world: &World, surfer: &mut Surfer) {
    let confirm = surfer.here.go("/auth/logout").await;
    let begun = Instant::now();
    let page = surfer.here.post("/auth/logout", &hidden(&confirm)).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text().contains("Example SSO could not be reached"), "{}", page.text());
    assert_eq!(sessions(world).await, 0);
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
    // The browser may reach what the gateway cannot.
    let there = link(&page, "/session/end");
    assert!(there.contains("id_token_hint=ey") && there.contains("state="), "{there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_with_the_provider_away_ends_the_session_and_says_so() {
    for how in ["stopped", "an error", "hangs"] {
        let mut world = World::with(&format!("{OPEN}\nlogout = true")).await;
        let mut surfer = world.signed_in("ada").await;
        // Its discovery document is known, and says nothing about now.
        match how {
            "stopped" => world.provider.stop(),
            "an error" => world.provider.away(true).await,
            _ => world.provider.hang(true).await,
        }
        crate::browser::later(&world.gateway, Duration::from_secs(60)).await;
        assert_signed_out_here_alone(&world, &mut surfer).await;
        // The provider is back.
        if how == "an error" {
            world.provider.away(false).await;
            crate::browser::later(&world.gateway, Duration::from_secs(60)).await;
            let mut surfer = world.signed_in("ada").await;
            let confirm = surfer.here.go("/auth/logout").await;
            let to = surfer.here.post("/auth/logout", &hidden(&confirm)).await;
            assert!(to.header("location").is_some_and(|to| to.contains("/session/end")), "{to:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_revokes_the_refresh_token_of_the_last_session() {
    let world = World::with(OPEN).await;
    let (mut one, mut two) = (world.signed_in("ada").await, world.signed_in("ada").await);
    let sign_out = async |surfer: &mut Surfer| {
        let confirm = surfer.here.go("/auth/logout").await;
        assert_eq!(surfer.submit(&confirm, "/auth/logout", &[]).await.status, 200);
    };
    // Some providers have one grant for all sessions of a person: the other one must live.
    sign_out(&mut one).await;
    world.later(Duration::from_secs(16 * 60)).await;
    assert_eq!(two.here.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 1);
    assert_eq!(world.provider.count("revocation").await, 0);
    sign_out(&mut two).await;
    assert_eventually("the token is revoked", SOON, async || world.provider.count("revocation").await == 1)
        .await;
    // A sign-in without any refresh token to revoke, and by a client with tokens.
    let mut three = world.signed_in("ada").await;
    let access = three.here.access().to_owned();
    let ended = world.gateway.call("POST", "/auth/logout", &access).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert_eventually("that one as well", SOON, async || world.provider.count("revocation").await == 2).await;
    assert_eq!(three.here.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_does_not_wait_for_the_revocation() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let confirm = surfer.here.go("/auth/logout").await;
    world.provider.hang(true).await;
    let page = surfer.submit(&confirm, "/auth/logout", &[]).await;
    assert_eq!((page.status, sessions(&world).await), (200, 0), "{}", page.text());
    let is_held = async || world.provider.held().await.0 == 1;
    assert_eventually("the request waits, nobody for it", Duration::from_secs(5), is_held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_was_never_reached_leaves_a_hint_on_the_page() {
    let mut world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in("ada").await;
    // Another gateway, which has never fetched the discovery document.
    let other = world.elsewhere(&format!("{OPEN}\nlogout = true")).await;
    world.provider.stop();
    surfer.here = surfer.here.at(&other);
    let confirm = surfer.here.go("/auth/logout").await;
    let page = surfer.here.post("/auth/logout", &hidden(&confirm)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Example SSO could not be reached"), "{}", page.text());
    assert_eq!(sessions(&world).await, 0);
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
}

#[tokio::test(flavor = "multi_thread")]
async fn return_without_the_state_signs_nobody_out() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in("ada").await;
    for query in ["", "?state=", "?state=x", "?state=a&state=b"] {
        let response = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/signed-out{query}")).await;
        assert!(matches!(response.status, 303 | 400), "{query}: {}", response.text());
        assert!(response.all("set-cookie").is_empty(), "{query}: {response:?}");
    }
    assert_eq!((surfer.here.fetch("/").await.status, sessions(&world).await), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_logout_only_the_session_here_ends() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let confirm = surfer.here.go("/auth/logout").await;
    surfer.trail.clear();
    let page = surfer.submit(&confirm, "/auth/logout", &[]).await;
    assert_eq!((page.status, surfer.trail.len()), (200, 0), "{:?}", surfer.trail);
    let page = surfer.choose("/reports").await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_another_browser_does_not_say_signed_out() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut attacker = world.signed_in("ada").await;
    let confirm = attacker.here.go("/auth/logout").await;
    attacker.trail.clear();
    let page = attacker.submit(&confirm, "/auth/logout", &[]).await;
    attacker.stop_at = Some("/signed-out?");
    attacker.confirm_there(&page).await;
    let back = attacker.at.clone();
    let mut victim = world.signed_in("ada").await;
    let response = victim.visit(&back).await;
    assert_eq!(
        (response.status, response.header("location")),
        (303, Some("/auth/logout")),
        "{}",
        response.text()
    );
    assert!(!victim.here.cookies.contains_key("__Host-doorward-hold"));
    assert_eq!(victim.here.fetch("/").await.status, 200);
}
