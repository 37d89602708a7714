//! `doorward serve`: signals, and two gateways on one vault.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::{House, doorward};
use crate::http::{self, Client};
use crate::process;
use crate::serving::{Tokens, code, logout};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_request_in_flight_and_exits_0() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let mut client = Client::connect(gateway.public).await;
    let bearer = format!("Bearer {}", tokens.access);
    client.send(&http::message("GET", "/hold", &[("Authorization", &bearer)], b"")).await;
    assert_eventually("the app was asked", SOON, async || !app.seen().is_empty()).await;

    gateway.signal("TERM");
    let refused = async || TcpStream::connect(gateway.public).is_err();
    assert_eventually("nobody listens any more", SOON, refused).await;
    app.release(1);
    let response = client.response("GET").await.expect("the answer arrives");
    assert_eq!(response.status, 200);
    let admin = gateway.admin;
    let (status, printed, _) = gateway.process.end();
    assert_eq!((status.code(), printed), (Some(0), Vec::new()));
    TcpStream::connect(admin).expect_err("nothing listens");
}

#[test]
fn sigterm_right_after_readiness_exits_0() {
    let house = House::empty();
    for _ in 0..10 {
        assert_eq!(house.serve().stop().code(), Some(0));
    }
}

#[test]
fn check_accepts_the_shipped_configuration() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml");
    let done = process::run(doorward().arg("check").arg("--config").arg(&shipped), "");
    let printed = done.good();
    assert!(printed.starts_with(&format!("{} is good: no routes", shipped.display())), "{printed}");
    assert!(!shipped.with_file_name("master.key").exists(), "checking makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_vault_follow_each_other() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let (one, other) = (house.serve(), house.serve());
    let (first, second) = (one.login("ada").await, other.login("ada").await);
    for gateway in [&one, &other] {
        for tokens in [&first, &second] {
            assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
        }
    }
    // Each ends a session created by the other.
    for (ends, follows, tokens) in [(&one, &other, &second), (&other, &one, &first)] {
        let renewed = Tokens::of(&ends.refresh(&tokens.refresh).await);
        assert_eq!(follows.get("/", &renewed.access).await.status, 200);
        assert_eq!(logout(ends.public, &renewed.access).await.expect("an answer").status, 200);
        assert_eq!(ends.refusal("/", &renewed.access).await, (401, "token_revoked".into()));
        let followed = async || follows.get("/", &tokens.access).await.status == 401;
        assert_eventually("the other one follows", SOON, followed).await;
        assert_eq!(follows.refusal("/", &renewed.access).await, (401, "token_revoked".into()));
        assert_eq!(code(&follows.refresh(&renewed.refresh).await), (401, "refresh_invalid".into()));
    }
    let third = one.login("ada").await;
    assert_eq!(one.stop().code(), Some(0));
    assert_eq!(other.get("/", &third.access).await.status, 200, "the other one goes on");
    Tokens::of(&other.refresh(&third.refresh).await);
}
