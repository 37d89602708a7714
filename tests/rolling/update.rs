//! Guarantees of a rolling update.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::eventually::assert_eventually;
use crate::fleet::{
    Balancer, Fleet, PASSWORD, Release, Tokens, ask, log_in, me, refresh, sign_out, try_refresh,
};
use crate::measured::measured;

const REPLICAS: usize = 3;
const PEOPLE: usize = 8;
/// Pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(20);
/// Delay of a revocation through the log, on two busy cores.
const SOON: Duration = Duration::from_secs(1);

/// Clients under way: each uses any gateway and refreshes now and then, sometimes twice with the same token at another
/// gateway.
struct ActiveClients {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU32>,
    refreshes: Arc<AtomicU32>,
    people: JoinSet<Tokens>,
}

impl ActiveClients {
    async fn start(gateways: &Balancer) -> Self {
        let (stop, mut people) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        let (requests, refreshes) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        for person in 0..PEOPLE {
            let (gateways, stop) = (gateways.clone(), Arc::clone(&stop));
            let (requests, refreshes) = (Arc::clone(&requests), Arc::clone(&refreshes));
            let mut tokens = log_in(gateways.any(), "ada").await;
            people.spawn(async move {
                let mut step = person;
                while !stop.load(Ordering::Relaxed) {
                    let gateway = gateways.any();
                    assert_eq!(ask(gateway, &tokens).await, 200, "{gateway} refuses person {person}");
                    requests.fetch_add(1, Ordering::Relaxed);
                    step += 1;
                    if step % 15 == 0 {
                        let next = refresh(gateways.any(), &tokens).await;
                        if step % 45 == 0 {
                            let again = refresh(gateways.any(), &tokens).await;
                            assert_eq!(again.refresh, next.refresh, "a lost answer, whoever is asked again");
                        }
                        tokens = next;
                        refreshes.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                tokens
            });
        }
        Self { stop, requests, refreshes, people }
    }

    /// Waits until every client has made progress.
    async fn go_on(&self) {
        let (requests, refreshes) =
            (self.requests.load(Ordering::Relaxed), self.refreshes.load(Ordering::Relaxed));
        assert_eventually("people go on", Duration::from_secs(30), async || {
            self.requests.load(Ordering::Relaxed) > requests + 200
                && self.refreshes.load(Ordering::Relaxed) > refreshes + 12
        })
        .await;
    }

    async fn end(self) -> Vec<Tokens> {
        self.stop.store(true, Ordering::Relaxed);
        let (requests, refreshes) =
            (self.requests.load(Ordering::Relaxed), self.refreshes.load(Ordering::Relaxed));
        measured(format_args!("rolling update: {requests} requests and {refreshes} refreshes, none lost"));
        self.people.join_all().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_update_is_invisible_to_clients() {
    let fleet = Fleet::new().await;
    let gateways = Balancer::default();
    let mut running = Vec::new();
    for _ in 0..REPLICAS {
        running.push(fleet.gateway(Release::Before));
        gateways.add(running[running.len() - 1].address);
    }
    fleet.run(Release::Before, &["user", "add", "ada", "--password-stdin"], &format!("{PASSWORD}\n"));
    let before = fleet.schema();
    let people = ActiveClients::start(&gateways).await;
    people.go_on().await;
    for place in &mut running {
        let new = fleet.gateway(Release::This);
        gateways.add(new.address);
        people.go_on().await;
        let old = std::mem::replace(place, new);
        gateways.remove(old.address);
        tokio::task::spawn_blocking(|| old.stop()).await.expect("stopped");
        people.go_on().await;
    }
    assert_ne!(fleet.schema(), before, "or there is nothing to roll over");
    // Sessions created by the previous release continue in this one and can be ended there.
    for tokens in people.end().await {
        assert_eq!(ask(running[0].address, &tokens).await, 200);
        sign_out(running[1].address, &tokens).await;
        for gateway in &running {
            assert_eventually("refused", SOON, async || ask(gateway.address, &tokens).await == 401).await;
        }
        assert_eq!(try_refresh(running[2].address, &tokens.refresh).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_share_sessions_and_revocations() {
    let fleet = Fleet::new().await;
    let old = fleet.gateway(Release::Before);
    fleet.run(Release::Before, &["user", "add", "ada", "--password-stdin"], &format!("{PASSWORD}\n"));
    let new = fleet.gateway(Release::This);
    for (one, other) in [(old.address, new.address), (new.address, old.address)] {
        let first = log_in(one, "ada").await;
        assert_eq!(ask(other, &first).await, 200, "signed in");
        let second = refresh(one, &first).await;
        assert_eq!(refresh(other, &first).await.refresh, second.refresh, "repeated, byte for byte");
        let third = refresh(other, &second).await;
        assert_eq!(ask(one, &third).await, 200);
        // Two generations behind: reuse at the release before, a slow request at this one.
        assert_eq!(try_refresh(one, &first.refresh).await.status, 401);
        if one == old.address {
            assert_eventually("ended by reuse", SOON, async || ask(other, &third).await == 401).await;
        } else {
            assert_eq!(ask(other, &third).await, 200);
        }
        let ended = log_in(one, "ada").await;
        assert_eq!(ask(other, &ended).await, 200);
        sign_out(one, &ended).await;
        assert_eventually("signed out", SOON, async || ask(other, &ended).await == 401).await;
    }
    // Revocations by the command line of either release reach both.
    for release in [Release::Before, Release::This] {
        let tokens = log_in(old.address, "ada").await;
        assert_eq!(ask(new.address, &tokens).await, 200);
        fleet.run(release, &["session", "revoke", "--user", "ada", "--yes"], "");
        for gateway in [old.address, new.address] {
            assert_eventually("revoked", SOON, async || ask(gateway, &tokens).await == 401).await;
        }
    }
    // Audit rows that the previous release wrote beside this one are in the chain.
    let check = || fleet.run(Release::This, &["vault", "audit", "--verify"], "");
    assert_eventually("every row is linked", Duration::from_secs(30), async || {
        let printed = check();
        printed.starts_with("the audit trail is whole: ") && !printed.contains("not linked")
    })
    .await;
    let rows = fleet.run(Release::This, &["vault", "audit", "--all", "--json"], "");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&rows).expect("JSON");
    let linked = |actor_is_known: bool| {
        let is_of =
            |row: &&serde_json::Value| row["position"].is_u64() && row["actor"].is_string() == actor_is_known;
        rows.iter().filter(is_of).count()
    };
    assert!(linked(true) > 0 && linked(false) > 0, "{rows:?}");
}

/// E-mail address and name of [`Fleet`]'s user by `GET /auth/me`.
async fn attributes(gateway: SocketAddr, tokens: &Tokens) -> [Option<String>; 2] {
    let me = me(gateway, tokens).await;
    ["email", "name"].map(|name| me.get(name).and_then(|value| value.as_str()).map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_of_the_release_before_keep_attributes_and_leave_them_out() {
    let fleet = Fleet::new().await;
    let old = fleet.gateway(Release::Before);
    let new = fleet.gateway(Release::This);
    let add = ["user", "add", "ada", "--email", "ada@example.org", "--name", "Ada", "--password-stdin"];
    fleet.run(Release::This, &add, &format!("{PASSWORD}\n"));
    let described = [Some("ada@example.org".to_owned()), Some("Ada".to_owned())];
    // A token with sealed attributes serves at a gateway that does not know them.
    let first = log_in(new.address, "ada").await;
    assert_eq!(ask(old.address, &first).await, 200);
    assert_eq!(attributes(new.address, &first).await, described);
    assert_eq!(attributes(old.address, &first).await, [None, None]);
    // A token of the release before has none, until it is refreshed at this one.
    let second = log_in(old.address, "ada").await;
    assert_eq!(ask(new.address, &second).await, 200);
    assert_eq!(attributes(new.address, &second).await, [None, None]);
    assert_eq!(attributes(new.address, &refresh(new.address, &second).await).await, described);
    // A change reaches gateways of both.
    let third = log_in(old.address, "ada").await;
    fleet.run(Release::This, &["user", "set", "ada", "--no-name"], "");
    for gateway in [old.address, new.address] {
        assert_eventually("refused", SOON, async || ask(gateway, &third).await == 401).await;
    }
    // Commands of the release before keep what they do not know.
    fleet.run(Release::Before, &["user", "roles", "ada", "staff"], "");
    let shown = fleet.run(Release::This, &["user", "show", "ada", "--json"], "");
    assert!(shown.contains("ada@example.org") && shown.contains("staff"), "{shown}");
}

/// A rolled-back update: the previous release starts on data written by this one.
#[tokio::test(flavor = "multi_thread")]
async fn update_can_be_rolled_back() {
    let fleet = Fleet::new().await;
    let new = fleet.gateway(Release::This);
    fleet.run(Release::This, &["user", "add", "ada", "--password-stdin"], &format!("{PASSWORD}\n"));
    let tokens = refresh(new.address, &log_in(new.address, "ada").await).await;
    let old = fleet.gateway(Release::Before);
    assert_eq!(ask(old.address, &tokens).await, 200);
    tokio::task::spawn_blocking(|| new.stop()).await.expect("stopped");
    let renewed = refresh(old.address, &tokens).await;
    assert_eq!(ask(old.address, &renewed).await, 200);
    assert_eq!(log_in(old.address, "ada").await.access.split('.').count(), 3);
}
