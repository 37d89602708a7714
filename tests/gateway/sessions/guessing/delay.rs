use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Guess, assert_owner_signs_in, known_browser, tried};
use crate::support::gateway::SOON;
use crate::support::{Setup, TestGateway, assert_eventually};

const DELAY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_of_a_stranger_is_held_back_and_nobody_else() {
    // One thread and one place in its queue: held responses that kept theirs would make the others fail.
    let login = "failure_delay = \"2s\"\nhash_threads = 1\nhash_queue = 1\nattempts_per_account = 3";
    let login = login.to_owned();
    let gateway = TestGateway::with(Setup { login, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let known = known_browser(&gateway, "ada").await;
    let began = Instant::now();
    let mut guessing = tokio::task::JoinSet::new();
    for number in 0..3_u8 {
        guessing.spawn(Guess::at("ada").from(2 + number).send(gateway.address()));
        let hashed = async || gateway.metric("doorward_hash_seconds_count").await >= f64::from(2 + number);
        assert_eventually("it is hashed", SOON, hashed).await;
    }
    // Meanwhile others sign in, and the owner's typo in a known browser is answered at once.
    gateway.login("ada").await;
    let typo = known.clone().sign_in("ada", "a wrong password", "/auth/login", &[]).await;
    assert_eq!(typo.status, 401, "{}", typo.text());
    assert_owner_signs_in(&known, std::slice::from_ref(&gateway), "ada").await;
    assert_eq!(guessing.join_all().await, [401; 3]);
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    // What the throttle refuses is not held back, and an unknown name is held back as well.
    let began = Instant::now();
    let unknown = json!({ "username": "nobody", "password": "a wrong password" });
    assert_eq!(gateway.post("/auth/login", None, &unknown).await.status, 401);
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    let all = std::slice::from_ref(&gateway);
    while tried(all, [Guess::at("eve")]).await == 1 {}
    let began = Instant::now();
    assert_eq!(tried(all, [Guess::at("eve")]).await, 0);
    assert!(began.elapsed() < DELAY, "{:?}", began.elapsed());
}
