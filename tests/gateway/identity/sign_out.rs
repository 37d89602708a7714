//! Sign-out here and at the provider (OpenID Connect RP-Initiated Logout 1.0).

use doorward::vault::{SessionPage, UserKey};

use super::{OPEN, World};
use crate::browser::ORIGIN;

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

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_with_the_provider_away_ends_the_session_and_says_so() {
    let mut world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in("ada").await;
    // Its discovery document is no longer known.
    world.provider.stop();
    crate::browser::later(&world.gateway, std::time::Duration::from_secs(60)).await;
    let confirm = surfer.here.go("/auth/logout").await;
    let to = surfer.here.post("/auth/logout", &crate::browser::hidden(&confirm)).await;
    // What is known for a while sends the browser there, where it finds out itself.
    assert_eq!(to.status, 303, "{}", to.text());
    assert_eq!(sessions(&world).await, 0);
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
    let page = surfer.here.post("/auth/logout", &crate::browser::hidden(&confirm)).await;
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
