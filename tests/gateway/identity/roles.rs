//! Roles from claims: computed at each sign-in, and never those that an operator gave.

use std::time::Duration;

use doorward::identity::Roles;
use doorward::vault::{User, UserChange, UserKey};
use serde_json::{Value, json};

use super::{OPEN, World, ada_with};
use crate::support::{Socket, TestGateway};

async fn ada(gateway: &TestGateway) -> User {
    let key = UserKey::Login("ada".parse().expect("a login name"));
    gateway.vault.users.find(&key).await.expect("an answer").expect("ada")
}

async fn sign_in_with_groups(world: &World, groups: Value) -> String {
    world.provider.put("ada", &ada_with(&json!({ "groups": groups }))).await;
    world.signed_in("ada").await;
    ada(&world.gateway).await.roles.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sign_in_decides_the_roles_of_the_provider() {
    let world = World::with(OPEN).await;
    assert_eq!(sign_in_with_groups(&world, json!(["platform"])).await, "admin");
    // No prefix, no other case, no text that contains it.
    for other in [
        json!(["Platform"]),
        json!(["platform-team"]),
        json!(["/platform"]),
        json!("platform team"),
        json!([]),
    ] {
        assert_eq!(sign_in_with_groups(&world, other.clone()).await, "", "{other}");
    }
    assert_eq!(sign_in_with_groups(&world, json!("platform")).await, "admin", "one text is a list of one");
    // An operator's role stays.
    let change = UserChange::Roles(Roles::parse(["admin", "staff"]).expect("roles"));
    world.gateway.vault.users.change(ada(&world.gateway).await.id, &change).await.expect("changed");
    assert_eq!(sign_in_with_groups(&world, json!([])).await, "staff");
    assert_eq!(sign_in_with_groups(&world, json!(["platform"])).await, "admin,staff");
}

#[tokio::test(flavor = "multi_thread")]
async fn role_that_needs_a_second_factor_needs_it_at_the_sign_in_that_gives_it() {
    let login = "factor = \"mfa\"\nfactor_roles = [\"admin\"]\nfactor_grace = \"0s\"";
    let world = World::with_login(OPEN, login).await;
    assert_eq!(sign_in_with_groups(&world, json!(["staff"])).await, "");
    world.provider.put("ada", &ada_with(&json!({ "groups": ["platform"] }))).await;
    let mut surfer = world.surfer();
    let page = surfer.sign_in("ada", "/").await;
    assert_eq!(ada(&world.gateway).await.roles.to_string(), "admin");
    assert!(page.text().contains("<code class=\"key\">"), "the enrolment: {} {}", surfer.at, page.text());
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_role_cuts_streams_of_the_other_browser() {
    let world = World::with(OPEN).await;
    let first = world.signed_in("ada").await;
    let mut socket = Socket::open(world.gateway.address(), "/ws", first.here.access()).await;
    socket.echo("before").await;
    world.provider.put("ada", &ada_with(&json!({ "groups": ["staff"] }))).await;
    world.signed_in("ada").await;
    socket.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_groups_do_not_keep_a_role_for_ever() {
    // Who signs in again and again must not keep what no provider has confirmed for hours.
    let world = World::with(OPEN).await;
    assert_eq!(sign_in_with_groups(&world, json!(["platform"])).await, "admin");
    assert_eq!(sign_in_with_groups(&world, json!(null)).await, "admin", "undecided: as before, for a while");
    for _ in 0..5 {
        world.later(Duration::from_secs(3600)).await;
        sign_in_with_groups(&world, json!(null)).await;
    }
    let mut surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.fetch("/admin").await.status, 403);
    assert_eq!(ada(&world.gateway).await.roles.to_string(), "");
    // An operator's role is not the provider's.
    assert_eq!(sign_in_with_groups(&world, json!(["platform"])).await, "admin");
}
