//! `doorward provider` and the accounts of `doorward user`, beside a running gateway.

use super::{OPEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn provider_test_prints_what_to_register_and_what_it_found() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let issuer = world.provider.issuer();
    let listed = world.gateway.command(&["provider", "list"]).await;
    assert_eq!(listed, format!("sso\toidc\t{issuer}\tExample SSO\n"));
    let printed = world.gateway.command(&["provider", "test", "sso"]).await;
    let base = "http://gateway.test/auth/providers/sso";
    for (label, value) in [
        ("redirect address", format!("{base}/callback")),
        ("sign-out address", format!("{base}/signed-out")),
        ("back-channel logout", format!("{base}/backchannel-logout")),
        ("issuer", issuer.clone()),
        ("authorization", format!("{issuer}/auth")),
        ("token", format!("{issuer}/token")),
        ("keys", format!("{issuer}/jwks (1 usable)")),
        ("sign-out", format!("{issuer}/session/end")),
    ] {
        let line = printed.lines().find(|line| line.starts_with(&format!("{label:<22}")));
        assert_eq!(line.and_then(|line| line.get(22..)), Some(value.as_str()), "{label}: {printed}");
    }
    assert!(printed.contains("accepted RS256") && printed.contains("this machine"), "{printed}");
    assert!(!printed.contains("secret of the tests"), "{printed}");
    assert!(!printed.contains("warning: the clocks"), "{printed}");
    // `Date` of the provider.
    world.provider.advance(std::time::Duration::from_secs(300)).await;
    let printed = world.gateway.command(&["provider", "test", "sso"]).await;
    assert!(printed.contains("s ahead of this machine"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_links_and_unlinks_accounts() {
    let world = World::with("create_users = \"never\"").await;
    world.gateway.user("bob", &[]).await;
    let linked =
        world.gateway.command(&["user", "link", "bob", "--provider", "sso", "--subject", "ada"]).await;
    assert_eq!(linked, "linked the account at `sso` to `bob`\n");
    let mut surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some("bob"));
    let shown = world.gateway.command(&["user", "show", "bob"]).await;
    let line = format!("account     sso: ada at {}, used ", world.provider.issuer());
    assert!(shown.lines().any(|shown| shown.starts_with(&line)), "{shown}");
    let shown = world.gateway.command(&["user", "show", "bob", "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["accounts"][0]["provider"], &shown["accounts"][0]["subject"]),
        (&"sso".into(), &"ada".into())
    );
    // An account of a provider that is not configured needs its issuer.
    let old = ["--provider", "old", "--subject", "17", "--issuer", "https://old.example"];
    world.gateway.command(&[&["user", "link", "bob"], &old[..]].concat()).await;
    let unlinked = world.gateway.command(&[&["user", "unlink", "bob"], &old[..]].concat()).await;
    assert_eq!(unlinked, "unlinked the account at `old` from `bob`; sessions ended: 0\n");
    let unlinked =
        world.gateway.command(&["user", "unlink", "bob", "--provider", "sso", "--subject", "ada"]).await;
    assert_eq!(unlinked, "unlinked the account at `sso` from `bob`; sessions ended: 1\n");
    crate::support::assert_eventually("its session has ended", crate::support::gateway::SOON, async || {
        surfer.here.fetch("/").await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_sees_and_approves_who_waits() {
    let world = World::with("create_users = \"approve\"").await;
    world.surfer().sign_in("ada", "/").await;
    let listed = world.gateway.command(&["user", "list"]).await;
    assert!(listed.starts_with("ada\twaiting for approval\t"), "{listed}");
    world.gateway.command(&["user", "enable", "ada"]).await;
    let listed = world.gateway.command(&["user", "list"]).await;
    assert!(listed.starts_with("ada\tenabled\t"), "{listed}");
    world.signed_in("ada").await;
}
