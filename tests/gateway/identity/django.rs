//! Sign-in at a second provider: django-oauth-toolkit, unmodified. Unlike the first it asks for consent and before a sign-out,
//! sends no `iss` and no `sid`, and has no back-channel logout.

use std::time::Duration;

use doorward::clock::Clock;
use doorward::identity::Attributes;
use doorward::vault::{SessionPage, User, UserKey};
use serde_json::{Value, json};

use super::providers::Django;
use super::{OPEN, Surfer};
use crate::browser::{Browser, ORIGIN, later};
use crate::forwarding::assertion::decoded;
use crate::support::gateway::{ROUTES, SOON};
use crate::support::{Response, Setup, Socket, TestGateway, assert_eventually};

/// Later than the default `recheck`, and than an access token lives.
const DUE: Duration = Duration::from_secs(16 * 60);

struct World {
    provider: Django,
    gateway: TestGateway,
}

impl World {
    /// Starts a provider with the person `ada`, and a gateway. `more` are lines of the provider's table.
    async fn with(more: &str) -> Self {
        let provider = Django::start(ORIGIN).await;
        provider.put("ada", &ada(&["platform", "staff"])).await;
        let routes = format!("{ROUTES}{}", provider.table("sso", more));
        let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
        Self { provider, gateway }
    }

    fn surfer(&self) -> Surfer {
        Surfer::new(&self.gateway, self.provider.address())
    }

    /// A browser in which ada has signed in.
    async fn signed_in(&self) -> Surfer {
        let mut surfer = self.surfer();
        let page = sign_in(&mut surfer, "/").await;
        assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/"), "{}", page.text());
        surfer
    }

    /// Advances the clocks of the gateway and the provider.
    async fn later(&self, span: Duration) {
        self.provider.advance(i64::try_from(span.as_secs()).expect("a short time")).await;
        later(&self.gateway, span).await;
    }

    async fn ada(&self) -> User {
        let key = UserKey::Login("ada".parse().expect("a login name"));
        self.gateway.vault.users.find(&key).await.expect("an answer").expect("ada")
    }

    /// Number of live sessions of ada.
    async fn sessions(&self) -> usize {
        let ada = self.ada().await.id;
        self.gateway.vault.sessions.list(Some(ada), SessionPage::first(9)).await.expect("a page").len()
    }
}

fn ada(groups: &[&str]) -> Value {
    json!({ "name": "Ada Lovelace", "email": "ada@example.com", "groups": groups })
}

/// Opens a page of the gateway, and logs ada in on the way. Returns the page after it, which may ask for her consent.
async fn log_in(surfer: &mut Surfer, target: &str) -> Response {
    let page = surfer.choose(target).await;
    assert!(page.text().contains("<title>Log in</title>"), "{} {}", surfer.at, page.text());
    surfer.submit_there(&page, &[("username", "ada"), ("password", "ada")]).await
}

/// Opens a page of the gateway, and signs ada in on the way.
async fn sign_in(surfer: &mut Surfer, target: &str) -> Response {
    let page = log_in(surfer, target).await;
    let asks = page.text().contains("Authorize doorward?");
    if asks { surfer.submit_there(&page, &[("allow", "Authorize")]).await } else { page }
}

#[tokio::test(flavor = "multi_thread")]
async fn person_signs_in_with_the_claims_of_django() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let page = sign_in(&mut surfer, "/admin/reports?q=a%2Fb").await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/admin/reports?q=a%2Fb"));
    let seen = world.gateway.app.last();
    assert_eq!(seen.header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-auth-roles").as_deref(), Some("admin"));
    let ada = world.ada().await;
    let email = "ada@example.com".parse().expect("an address");
    let name = "Ada Lovelace".parse().expect("a name");
    assert_eq!(ada.attributes, Attributes::new(Some(email), true, Some(name)));
    let links = world.gateway.vault.identities.of_user(ada.id).await.expect("links");
    let [link] = links.as_slice() else { panic!("{links:?}") };
    // The subject is the number of the row there, not the name.
    assert_eq!(
        (link.account.issuer.as_str(), link.account.subject.as_str()),
        (&*world.provider.issuer(), "1")
    );
    // Consent was given; another browser finds the same user.
    let mut other = world.signed_in().await;
    assert_eq!(other.here.fetch("/").await.status, 200);
    assert_eq!((world.sessions().await, world.ada().await.id), (2, ada.id));
    assert_eq!(world.provider.count("token:authorization_code").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_is_told_when_the_person_signed_in_there() {
    let provider = Django::start(ORIGIN).await;
    provider.put("ada", &ada(&["platform"])).await;
    let routes = format!("assertion = true\n{ROUTES}{}", provider.table("sso", OPEN));
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    let world = World { provider, gateway };
    let told = || {
        let assertion = world.gateway.app.last().header("x-auth-assertion").expect("an assertion");
        let claims = decoded(&assertion, 1);
        assert_eq!(claims["amr"], json!(["fed"]));
        claims["auth_time"].as_i64().expect("seconds")
    };
    let mut surfer = world.signed_in().await;
    let first = told();
    let ago = world.gateway.clock.wall().secs() - first;
    assert!((-1..60).contains(&ago), "{ago}");
    // The provider has a session of this person, and only says so: that is no new sign-in there.
    world.later(Duration::from_secs(300)).await;
    surfer.here = Browser::new(&world.gateway);
    let page = surfer.choose("/").await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/"), "{}", page.text());
    assert_eq!(told(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_who_cancels_at_django_sees_a_page() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let page = log_in(&mut surfer, "/reports").await;
    let page = surfer.submit_there(&page, &[]).await;
    assert_eq!(page.status, 403, "{} {}", surfer.at, page.text());
    assert!(page.text().contains("provider_denied"), "{}", page.text());
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
    // She changes her mind.
    let page = surfer.choose("/reports").await;
    let page = surfer.submit_there(&page, &[("allow", "Authorize")]).await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn recheck_at_django_keeps_the_rotated_token_and_applies_the_groups() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in().await;
    for (round, groups, status) in [(1, &[][..], 403), (2, &["platform"], 200), (3, &["staff"], 403)] {
        world.provider.put("ada", &ada(groups)).await;
        world.later(DUE).await;
        assert_eventually("its roles are the new ones", SOON, async || {
            surfer.here.fetch("/admin").await.status == status
        })
        .await;
        assert_eq!(world.provider.count("token:refresh_token").await, round);
    }
    // Each token was replaced, and django-oauth-toolkit refuses one that it has replaced.
    assert_eq!(world.provider.count("refused:invalid_grant").await, 0);
    let metric = "doorward_provider_rechecks_total{outcome=\"confirmed\",provider=\"sso\"}";
    assert_eq!(world.gateway.metric(metric).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_removed_from_django_loses_session_and_streams() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in().await;
    let mut socket = Socket::open(world.gateway.address(), "/ws", surfer.here.access()).await;
    socket.echo("before").await;
    world.provider.remove("ada").await;
    world.later(DUE).await;
    let refused = surfer.here.go("/").await;
    assert_eq!(refused.status, 303, "{}", refused.text());
    socket.until_closed().await;
    assert_eq!(world.provider.count("refused:invalid_grant").await, 1);
    assert_eq!(world.sessions().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_ends_the_session_at_django_and_comes_back() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut elsewhere = world.signed_in().await;
    let mut surfer = world.signed_in().await;
    let confirm = surfer.here.go("/auth/logout").await;
    let page = surfer.submit(&confirm, "/auth/logout", &[]).await;
    assert!(page.text().contains("Confirm Logout requested by doorward"), "{} {}", surfer.at, page.text());
    assert_eq!(world.sessions().await, 1, "ended before the browser left");
    let back = surfer.submit_there(&page, &[("allow", "Logout")]).await;
    assert!(
        surfer.at.starts_with(&format!("{ORIGIN}/auth/providers/sso/signed-out?state=")),
        "{}",
        surfer.at
    );
    assert!(back.status == 200 && back.text().contains("You are signed out"), "{}", back.text());
    // Signed out there as well.
    let page = surfer.choose("/").await;
    assert!(page.text().contains("<title>Log in</title>"), "{}", page.text());
    // It has voided her refresh tokens, and announces that to nobody: the other browser's session ends at its recheck.
    assert_eq!(elsewhere.here.fetch("/").await.status, 200);
    world.later(DUE).await;
    assert_eq!(elsewhere.here.go("/").await.status, 303);
    assert_eq!(world.sessions().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_who_stays_signed_in_at_django_is_signed_out_here() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in().await;
    let confirm = surfer.here.go("/auth/logout").await;
    let page = surfer.submit(&confirm, "/auth/logout", &[]).await;
    // Cancelled there: django-oauth-toolkit shows an error of its own.
    let refused = surfer.submit_there(&page, &[]).await;
    assert_eq!(refused.status, 400, "{} {}", surfer.at, refused.text());
    assert_eq!((surfer.here.fetch("/").await.status, world.sessions().await), (401, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_key_of_django_is_fetched_once() {
    let world = World::with(OPEN).await;
    world.signed_in().await;
    assert_eq!(world.provider.count("keys").await, 1);
    world.provider.rotate_keys().await;
    // The set was fetched just now; a stranger must not make the gateway fetch it for each token.
    world.later(Duration::from_secs(61)).await;
    for _ in 0..3 {
        world.signed_in().await;
    }
    assert_eq!(world.provider.count("keys").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_of_django_may_be_off_by_a_minute() {
    let world = World::with(OPEN).await;
    let mut at = 0;
    // Seconds ahead of the gateway. Behind it an ID token looks older than it is, which is accepted for eleven minutes.
    for (ahead, status) in [(45, 200), (90, 502), (-600, 200), (-720, 502), (0, 200)] {
        world.provider.advance(ahead - at).await;
        at = ahead;
        let page = sign_in(&mut world.surfer(), "/").await;
        assert_eq!(page.status, status, "{ahead} s: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_test_says_that_django_announces_no_logout() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let printed = world.gateway.command(&["provider", "test", "sso"]).await;
    let warnings: Vec<_> = printed.lines().filter(|line| line.starts_with("warning: ")).collect();
    let [only] = warnings.as_slice() else { panic!("{printed}") };
    assert!(only.contains("does not announce back-channel logout"), "{printed}");
    assert!(printed.contains(&format!("{}/logout/", world.provider.issuer())), "{printed}");
}
