//! A gateway that stood still for longer than its lease, and the revocations it has missed (case X01).

use std::time::Duration;

use serde_json::json;

use crate::load::ask;
use crate::support::assert_eventually;
use crate::world::World;

/// Way to Postgres and back: a request can be answered by Redis before the log is read.
const DISTANCE: Duration = Duration::from_millis(50);

/// Sessions that are each revoked once while the gateway stands still.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn woken_gateway_waits_for_the_log_before_it_believes_redis() {
    let world = World::start().await;
    // Without Redis the revoking gateway leaves no tombstone.
    let (revoking, sleeper) = (world.replica("").await, world.replica("").await);
    revoking.gateway.user("ada", &[]).await;
    revoking.redis.break_off();
    sleeper.vault.slow(DISTANCE);
    for round in 0..ROUNDS {
        let ended = sleeper.gateway.login("ada").await;
        let kept = sleeper.gateway.login("ada").await;
        assert_eventually("both are used", Duration::from_secs(30), async || {
            ask(sleeper.gateway.address(), &ended.access).await == 200
                && ask(sleeper.gateway.address(), &kept.access).await == 200
        })
        .await;
        let response = revoking.gateway.post("/auth/logout", Some(&ended.access), &json!(null)).await;
        assert_eq!((response.status, response.member("propagation").as_str()), (200, "vault"));
        // What SIGSTOP or a suspended machine does: much time passes, and nothing has run.
        sleeper.gateway.clock.advance(Duration::from_secs(30));
        let (revoked, alive) = tokio::join!(
            ask(sleeper.gateway.address(), &ended.access),
            ask(sleeper.gateway.address(), &kept.access),
        );
        assert_eq!((revoked, alive), (401, 200), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn woken_gateway_without_the_vault_goes_on_with_redis() {
    let world = World::start().await;
    let sleeper = world.replica("").await;
    sleeper.gateway.user("ada", &[]).await;
    let tokens = sleeper.gateway.login("ada").await;
    assert_eq!(ask(sleeper.gateway.address(), &tokens.access).await, 200);
    // Refused connections, then connections that say nothing.
    sleeper.vault.break_off();
    sleeper.gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(ask(sleeper.gateway.address(), &tokens.access).await, 200);
    sleeper.vault.fall_silent();
    sleeper.gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(ask(sleeper.gateway.address(), &tokens.access).await, 200);
}
