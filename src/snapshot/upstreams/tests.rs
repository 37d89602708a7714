use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::TravelClock;
use crate::config::{Checks, EjectAfter, Health as Policy, Scheme, UpstreamServer};

fn upstream(name: &str, hosts: &[&str], health: Policy) -> Upstream {
    let server =
        |host: &&str| UpstreamServer { scheme: Scheme::Http, host: (*host).into(), port: 9000, socket: None };
    Upstream {
        name: name.into(),
        servers: hosts.iter().map(server).collect(),
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(50),
        tls: crate::config::UpstreamTls::default(),
        request_headers: crate::config::RequestHeaders::default(),
        response_headers: crate::config::ResponseHeaders::default(),
        health,
    }
}

fn checked() -> Policy {
    Policy { checks: Some(Checks::default()), ..Policy::default() }
}

/// One upstream called `app`, and a clock.
struct World {
    upstreams: Upstreams,
    clock: TravelClock,
}

impl World {
    fn new(hosts: &[&str]) -> Self {
        Self::with(hosts, Policy::default())
    }

    fn with(hosts: &[&str], health: Policy) -> Self {
        Self { upstreams: Upstreams::new(&[upstream("app", hosts, health)], None), clock: TravelClock::new() }
    }

    fn app(&self) -> &Arc<Group> {
        self.upstreams.find("app").unwrap()
    }

    /// Returns the last byte of each address, in the order of a request's attempts.
    fn attempts(&self) -> Vec<u8> {
        self.app().attempts(&self.clock).map(|candidate| last(&candidate)).collect()
    }

    fn at(&self, number: u8) -> Arc<Candidate> {
        Arc::clone(self.app().candidates().iter().find(|candidate| last(candidate) == number).unwrap())
    }

    /// Records failed connects.
    fn refuses(&self, number: u8, times: usize) {
        for _ in 0..times {
            self.at(number).connect_failed(false, &self.clock);
        }
    }

    fn responds(&self, number: u8, status: u16) {
        self.at(number).response_started(status, None, &self.clock);
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn check(&self, number: u8, failure: Option<&str>) {
        let checks = Checks::default();
        let check = loop {
            match self.at(number).start_check(&checks, self.clock.monotonic(), 0.5) {
                Ok(check) => break check,
                Err(wait) => self.clock.advance(wait + Duration::from_millis(1)),
            }
        };
        let (at, took) = (self.clock.monotonic(), Duration::ZERO);
        check.end(Report { at, took, failure: failure.map(str::to_owned) });
    }
}

fn last(candidate: &Candidate) -> u8 {
    match &candidate.address {
        Address::Inet(SocketAddr::V4(at)) => at.ip().octets()[3],
        Address::Inet(SocketAddr::V6(at)) => at.ip().octets()[15],
        Address::Unix(_) => 0,
    }
}

const THREE: &[&str] = &["127.0.0.1", "127.0.0.2", "127.0.0.3"];

#[test]
fn requests_start_at_the_next_server() {
    let world = World::new(&["127.0.0.1", "127.0.0.2", "::3"]);
    assert_eq!([(); 4].map(|()| world.attempts()), [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
}

#[test]
fn address_is_ejected_after_three_refused_connects() {
    let world = World::new(THREE);
    world.refuses(2, 2);
    world.responds(2, 500);
    world.refuses(2, 2);
    assert_eq!(world.attempts(), [1, 2, 3], "a success in between, and a 500 does not count");
    world.refuses(2, 1);
    assert_eq!([(); 3].map(|()| world.attempts()), [[3, 1, 2], [1, 3, 2], [3, 1, 2]]);
}

#[test]
fn each_kind_of_failure_has_its_own_threshold() {
    let world = World::new(THREE);
    for _ in 0..2 {
        world.at(1).timed_out(&world.clock);
        world.refuses(1, 1);
        world.responds(1, 503);
        world.at(1).connection_broke(&world.clock);
    }
    assert!(world.at(1).health_status().is_healthy());
    world.responds(1, 504);
    let (cause, _) = world.at(1).health_status().ejected.unwrap();
    assert_eq!(cause, metrics::Ejection::Status, "five responses, with other failures between them");
    for _ in 0..3 {
        world.at(2).timed_out(&world.clock);
    }
    assert_eq!(world.at(2).health_status().ejected.unwrap().0, metrics::Ejection::Timeout);
}

#[test]
fn threshold_of_zero_never_ejects() {
    let eject_after = EjectAfter { connects: 0, timeouts: 0, responses: 0 };
    let world = World::with(THREE, Policy { eject_after, ..Policy::default() });
    world.refuses(1, 100);
    for _ in 0..100 {
        world.responds(1, 502);
        world.at(1).timed_out(&world.clock);
    }
    assert!(world.at(1).health_status().is_healthy());
}

#[test]
fn local_connect_failures_do_not_eject() {
    let world = World::new(THREE);
    for _ in 0..10 {
        world.at(1).connect_failed(true, &world.clock);
    }
    assert!(world.at(1).health_status().is_healthy());
}

#[test]
fn one_trial_request_restores_an_ejected_address() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.advance(9);
    assert_eq!(world.attempts().last(), Some(&2));
    world.advance(1);
    let mut trial = world.app().attempts(&world.clock);
    assert_eq!(last(&trial.next().unwrap()), 2);
    assert_eq!(world.attempts().last(), Some(&2), "no other request meanwhile");
    let mut others: Vec<u8> = trial.by_ref().map(|candidate| last(&candidate)).collect();
    others.sort_unstable();
    assert_eq!(others, [1, 3], "the others after it, each once");
    world.responds(2, 200);
    assert_eq!(world.attempts().len(), 3);
    let mut firsts = [(); 3].map(|()| world.attempts()[0]);
    firsts.sort_unstable();
    assert_eq!(firsts, [1, 2, 3]);
}

#[test]
fn dropped_trial_allows_the_next_one() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.advance(10);
    let trial = world.app().attempts(&world.clock);
    assert_ne!(world.attempts()[0], 2);
    drop(trial);
    assert_eq!(world.attempts()[0], 2);
}

#[test]
fn late_trial_does_not_end_the_current_one() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.advance(10);
    let late = world.app().attempts(&world.clock);
    world.responds(2, 200);
    world.refuses(2, 3);
    world.advance(10);
    let under_way = world.app().attempts(&world.clock);
    drop(late);
    assert_ne!(world.attempts()[0], 2);
    drop(under_way);
    assert_eq!(world.attempts()[0], 2);
}

#[test]
fn ejection_time_doubles_up_to_five_minutes() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let until = world.at(2).health_status().ejected.unwrap().1;
        let wait = until.since(world.clock.monotonic());
        waits.push(wait.as_secs_f64().round());
        // These requests started before the ejection.
        world.refuses(2, 5);
        assert_eq!(world.at(2).health_status().ejected.unwrap().1, until);
        // The clock moves in whole milliseconds.
        world.clock.advance(wait + Duration::from_millis(1));
        world.refuses(2, 1);
    }
    assert_eq!(waits, [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);
    world.responds(2, 200);
    world.refuses(2, 3);
    let until = world.at(2).health_status().ejected.unwrap().1;
    assert!(until.since(world.clock.monotonic()) <= Duration::from_secs(10), "a success resets the time");
}

#[test]
fn all_addresses_are_used_when_all_are_ejected() {
    let world = World::new(THREE);
    for number in [1, 2, 3] {
        assert!(!world.app().is_panic());
        world.refuses(number, 3);
    }
    assert!(world.app().is_panic());
    let mut firsts = [(); 3].map(|()| world.attempts()[0]);
    firsts.sort_unstable();
    assert_eq!(firsts, [1, 2, 3]);
    world.responds(3, 200);
    assert!(!world.app().is_panic());
    assert_eq!([(); 3].map(|()| world.attempts()), [[3, 1, 2]; 3]);
}

#[test]
fn upstream_without_addresses_is_not_in_panic_mode() {
    let world = World::new(&["app.internal"]);
    assert!(!world.app().is_panic());
    assert!(!world.app().attempts(&world.clock).has_next());
}

#[test]
fn checks_eject_and_restore_an_address() {
    let world = World::with(THREE, checked());
    for _ in 0..2 {
        world.check(1, Some("answered 500"));
    }
    world.check(1, None);
    for _ in 0..2 {
        world.check(1, Some("answered 500"));
    }
    assert!(world.at(1).health_status().is_healthy(), "three in a row");
    world.check(1, Some("answered 500"));
    assert_eq!(world.attempts().last(), Some(&1));
    world.advance(3600);
    assert_eq!(world.attempts().last(), Some(&1), "no trial while checks fail");
    world.responds(1, 200);
    world.check(1, None);
    assert!(world.at(1).health_status().is_check_failed, "two in a row");
    world.check(1, None);
    assert!(world.at(1).health_status().is_healthy());
}

#[test]
fn good_checks_end_only_ejections_for_connects() {
    let world = World::with(THREE, checked());
    world.check(1, None);
    world.check(2, None);
    for _ in 0..10 {
        world.advance(300);
        world.refuses(1, 3);
        world.at(2).timed_out(&world.clock);
    }
    world.check(1, None);
    world.check(2, None);
    assert!(![1, 2].contains(&world.attempts()[0]), "the good ones before it failed do not count");
    world.check(1, None);
    world.check(2, None);
    assert_eq!(world.attempts()[0], 1);
    assert!(!world.at(1).health_status().is_healthy(), "a request decides");
}

#[test]
fn checks_are_spread_and_never_concurrent() {
    let (world, checks) = (World::with(THREE, checked()), Checks::default());
    let begin = |part| world.at(1).start_check(&checks, world.clock.monotonic(), part);
    let wait = begin(0.5).unwrap_err();
    assert!(wait > Duration::from_secs(2) && wait <= Duration::from_millis(2500), "{wait:?}");
    world.clock.advance(wait + Duration::from_millis(1));
    let check = begin(0.0).unwrap();
    world.advance(60);
    assert_eq!(begin(0.0).unwrap_err(), checks.interval);
    drop(check);
    drop(begin(1.0).unwrap());
    let wait = begin(0.0).unwrap_err();
    assert!(wait > checks.interval && wait <= checks.interval.mul_f64(1.1), "{wait:?}");
    let often = Checks { interval: Duration::from_millis(100), ..checks };
    let wait = world.at(1).start_check(&often, world.clock.monotonic(), 0.0).unwrap_err();
    assert!(wait <= Duration::from_millis(110), "a shorter interval holds at once: {wait:?}");
}

/// Reloads the upstreams with new hosts and health settings.
fn reloaded(world: World, hosts: &[&str], health: Policy) -> World {
    let World { upstreams, clock } = world;
    let next = Upstreams::new(&[upstream("app", hosts, health)], Some(&upstreams));
    World { upstreams: next, clock }
}

#[test]
fn address_health_survives_a_reload() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.refuses(3, 2);
    let world = reloaded(world, &["127.0.0.4", "127.0.0.3", "127.0.0.2"], Policy::default());
    assert_eq!(world.attempts(), [4, 3, 2]);
    world.refuses(3, 1);
    assert_eq!(world.attempts(), [4, 3, 2], "the third failure after two before the reload");
    assert!(!world.at(3).health_status().is_healthy());
    let world = reloaded(world, &["127.0.0.1", "127.0.0.4"], Policy::default());
    let world = reloaded(world, THREE, Policy::default());
    assert!(world.at(2).health_status().is_healthy(), "a removed address starts afresh");
}

#[test]
fn old_requests_update_health_after_a_reload() {
    let world = World::new(THREE);
    let old = world.app().attempts(&world.clock).next().unwrap();
    let world = reloaded(world, THREE, Policy::default());
    assert_eq!(world.attempts().len(), 3);
    for _ in 0..3 {
        old.connect_failed(false, &world.clock);
    }
    assert_eq!(world.attempts().last(), Some(&last(&old)));
}

#[test]
fn check_results_are_ignored_without_checks() {
    let world = World::with(THREE, checked());
    for _ in 0..3 {
        world.check(1, Some("answered 500"));
    }
    let world = reloaded(world, THREE, Policy::default());
    assert!(world.at(1).health_status().is_healthy());
    assert!(world.at(1).health_status().last_check.is_none());
    let world = reloaded(world, THREE, checked());
    assert_eq!(world.attempts().last(), Some(&1));
}

#[test]
fn health_is_separate_per_scheme_and_port() {
    let world = World::new(&["127.0.0.1", "127.0.0.2"]);
    world.refuses(1, 3);
    let mut next = upstream("app", &["127.0.0.1", "127.0.0.2"], Policy::default());
    next.servers[0].scheme = Scheme::H2c;
    let next = Upstreams::new(&[next], Some(&world.upstreams));
    assert!(next.find("app").unwrap().candidates().iter().all(|c| c.health_status().is_healthy()));
}

#[test]
fn series_exist_as_long_as_their_server() {
    let (metrics, world) = (Metrics::new(), World::new(THREE));
    world.upstreams.add_series(&metrics);
    let lines = |what: &str| {
        let text = String::from_utf8(metrics.text()).unwrap();
        text.lines().filter(|line| line.starts_with("doorward_upstream") && line.contains(what)).count()
    };
    // Two gauges, four causes, two results.
    assert_eq!(lines("server=\"http://127.0.0.2:9000\""), 8);
    let old = world.at(2);
    let next = Upstreams::new(&[upstream("app", &["127.0.0.1"], Policy::default())], Some(&world.upstreams));
    next.add_series(&metrics);
    world.upstreams.remove_series(&next, &metrics.upstreams);
    old.connect_failed(false, &world.clock);
    assert_eq!(lines("server=\"http://127.0.0.2:9000\""), 0, "an old request does not recreate it");
    assert_eq!(lines("server=\"http://127.0.0.1:9000\""), 8);
    let none = Upstreams::new(&[], Some(&next));
    next.remove_series(&none, &metrics.upstreams);
    assert_eq!(lines(""), 0);
}

#[test]
fn duplicate_servers_share_their_health() {
    let world = World::new(&["127.0.0.1", "127.0.0.1", "127.0.0.2"]);
    assert_eq!(world.attempts(), [1, 1, 2]);
    world.refuses(1, 3);
    assert_eq!(world.attempts(), [2, 1, 1]);
}

#[tokio::test]
async fn failed_lookup_keeps_the_last_addresses() {
    let world = World::new(&["localhost", "localhost", "no-such-name.invalid"]);
    assert!(!world.app().attempts(&world.clock).has_next());
    world.upstreams.resolve(Duration::from_secs(30)).await;
    let found = world.app().candidates();
    assert!(
        !found.is_empty()
            && found.iter().all(|c| matches!(&c.address, Address::Inet(at) if at.ip().is_loopback()))
    );
    let health = Arc::as_ptr(found[0].health());
    world.upstreams.resolve(Duration::from_secs(30)).await;
    assert_eq!(world.app().candidates().len(), found.len());
    assert_eq!(Arc::as_ptr(world.app().candidates()[0].health()), health);
    let world = reloaded(world, &["localhost"], Policy::default());
    assert_eq!(
        world.app().candidates().len() * 2,
        found.len(),
        "the previous addresses, before the first lookup"
    );
    assert_eq!(Arc::as_ptr(world.app().candidates()[0].health()), health);
}
