use super::{Fleet, Guess, assert_owner_signs_in, known_browser, tried};
use crate::support::assert_eventually;
use crate::support::gateway::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn each_gateway_counts_alone_while_redis_is_away() {
    let fleet = Fleet::start(2).await;
    fleet.gateways[0].user("ada", &[]).await;
    let known = known_browser(&fleet.gateways[0], "ada").await;
    let there = tried(&fleet.gateways[..1], (0..20).map(|_| Guess::at("ada"))).await;
    assert!((10..=11 + fleet.alone().await).contains(&there), "{there}");
    let elsewhere = tried(&fleet.gateways[1..], [Guess::at("ada")]).await;
    assert!(elsewhere <= fleet.alone().await, "they share the count");
    fleet.redis.kill();
    for gateway in &fleet.gateways {
        assert_eventually("Redis is away", SOON, async || {
            gateway.metric("doorward_session_store_up").await == 0.0
        })
        .await;
    }
    // What this gateway has counted before still counts.
    let more = tried(&fleet.gateways[..1], (0..20).map(|_| Guess::at("ada"))).await;
    assert!(more <= 2, "{more}");
    // The other one has counted nothing, and has the same limits.
    let other = tried(&fleet.gateways[1..], (0..20).map(|_| Guess::at("ada"))).await;
    assert!((10..=12).contains(&other), "{other}");
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;
    assert!(fleet.gateways[1].metric("doorward_throttle_alone_total").await >= 20.0);
    let limited = r#"doorward_throttled_attempts_total{scope="account_from_address"}"#;
    assert!(fleet.gateways[1].metric(limited).await >= 8.0);
}
