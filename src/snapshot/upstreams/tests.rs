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
        health,
    }
}

fn checked() -> Policy {
    Policy { checks: Some(Checks::default()), ..Policy::default() }
}

/// One upstream called `app`, and the time.
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

    /// The last part of each address, in the order that a request tries them.
    fn turn(&self) -> Vec<u8> {
        self.app().turn(&self.clock).map(|candidate| last(&candidate)).collect()
    }

    fn at(&self, number: u8) -> Arc<Candidate> {
        Arc::clone(self.app().candidates().iter().find(|candidate| last(candidate) == number).unwrap())
    }

    /// Connects to it fail so often.
    fn refuses(&self, number: u8, times: usize) {
        for _ in 0..times {
            self.at(number).connect_failed(false, &self.clock);
        }
    }

    fn answers(&self, number: u8, status: u16) {
        self.at(number).answered(status, None, &self.clock);
    }

    fn passes(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn check(&self, number: u8, failure: Option<&str>) {
        let checks = Checks::default();
        let check = loop {
            match self.at(number).begin_check(&checks, self.clock.monotonic(), 0.5) {
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
fn each_request_begins_with_the_next_server() {
    let world = World::new(&["127.0.0.1", "127.0.0.2", "::3"]);
    assert_eq!([(); 4].map(|()| world.turn()), [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
}

#[test]
fn an_address_that_refuses_three_times_in_a_row_is_put_last() {
    let world = World::new(THREE);
    world.refuses(2, 2);
    world.answers(2, 500);
    world.refuses(2, 2);
    assert_eq!(
        world.turn(),
        [1, 2, 3],
        "a success in between, and what the app says of itself is its business"
    );
    world.refuses(2, 1);
    assert_eq!([(); 3].map(|()| world.turn()), [[3, 1, 2], [1, 3, 2], [3, 1, 2]]);
}

#[test]
fn each_kind_of_failure_has_its_own_patience() {
    let world = World::new(THREE);
    for _ in 0..2 {
        world.at(1).timed_out(&world.clock);
        world.refuses(1, 1);
        world.answers(1, 503);
        world.at(1).broke_off(&world.clock);
    }
    assert!(world.at(1).standing().is_in_turn());
    world.answers(1, 504);
    let (cause, _) = world.at(1).standing().ejected.unwrap();
    assert_eq!(cause, metrics::Ejection::Status, "five answers, with others between them");
    for _ in 0..3 {
        world.at(2).timed_out(&world.clock);
    }
    assert_eq!(world.at(2).standing().ejected.unwrap().0, metrics::Ejection::Timeout);
}

#[test]
fn a_patience_of_zero_never_ends() {
    let eject_after = EjectAfter { connects: 0, timeouts: 0, responses: 0 };
    let world = World::with(THREE, Policy { eject_after, ..Policy::default() });
    world.refuses(1, 100);
    for _ in 0..100 {
        world.answers(1, 502);
        world.at(1).timed_out(&world.clock);
    }
    assert!(world.at(1).standing().is_in_turn());
}

#[test]
fn a_failure_for_want_of_something_here_says_nothing_about_the_server() {
    let world = World::new(THREE);
    for _ in 0..10 {
        world.at(1).connect_failed(true, &world.clock);
    }
    assert!(world.at(1).standing().is_in_turn());
}

#[test]
fn when_its_time_is_over_one_request_tries_it_and_a_success_brings_it_back() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.passes(9);
    assert_eq!(world.turn().last(), Some(&2));
    world.passes(1);
    let mut trial = world.app().turn(&world.clock);
    assert_eq!(last(&trial.next().unwrap()), 2);
    assert_eq!(world.turn().last(), Some(&2), "nobody else meanwhile");
    let mut others: Vec<u8> = trial.by_ref().map(|candidate| last(&candidate)).collect();
    others.sort_unstable();
    assert_eq!(others, [1, 3], "the others after it, and none twice");
    world.answers(2, 200);
    assert_eq!(world.turn().len(), 3);
    let mut firsts = [(); 3].map(|()| world.turn()[0]);
    firsts.sort_unstable();
    assert_eq!(firsts, [1, 2, 3]);
}

#[test]
fn a_trial_that_comes_to_nothing_leaves_it_to_the_next_request() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.passes(10);
    let trial = world.app().turn(&world.clock);
    assert_ne!(world.turn()[0], 2);
    drop(trial);
    assert_eq!(world.turn()[0], 2);
}

#[test]
fn a_trial_that_ends_late_is_not_taken_for_the_one_under_way() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.passes(10);
    let late = world.app().turn(&world.clock);
    world.answers(2, 200);
    world.refuses(2, 3);
    world.passes(10);
    let under_way = world.app().turn(&world.clock);
    drop(late);
    assert_ne!(world.turn()[0], 2);
    drop(under_way);
    assert_eq!(world.turn()[0], 2);
}

#[test]
fn while_it_goes_on_failing_its_time_doubles_up_to_five_minutes() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let until = world.at(2).standing().ejected.unwrap().1;
        let wait = until.since(world.clock.monotonic());
        waits.push(wait.as_secs_f64().round());
        // What failed meanwhile had begun before.
        world.refuses(2, 5);
        assert_eq!(world.at(2).standing().ejected.unwrap().1, until);
        // The clock travels by whole milliseconds.
        world.clock.advance(wait + Duration::from_millis(1));
        world.refuses(2, 1);
    }
    assert_eq!(waits, [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);
    world.answers(2, 200);
    world.refuses(2, 3);
    let until = world.at(2).standing().ejected.unwrap().1;
    assert!(
        until.since(world.clock.monotonic()) <= Duration::from_secs(10),
        "after a success, from the start"
    );
}

#[test]
fn when_all_fail_all_take_turns_as_if_none_did() {
    let world = World::new(THREE);
    for number in [1, 2, 3] {
        assert!(!world.app().is_panic());
        world.refuses(number, 3);
    }
    assert!(world.app().is_panic());
    let mut firsts = [(); 3].map(|()| world.turn()[0]);
    firsts.sort_unstable();
    assert_eq!(firsts, [1, 2, 3]);
    world.answers(3, 200);
    assert!(!world.app().is_panic());
    assert_eq!([(); 3].map(|()| world.turn()), [[3, 1, 2]; 3]);
}

#[test]
fn an_upstream_without_addresses_is_no_panic() {
    let world = World::new(&["app.internal"]);
    assert!(!world.app().is_panic());
    assert!(!world.app().turn(&world.clock).has_next());
}

#[test]
fn checks_put_an_address_last_and_bring_it_back() {
    let world = World::with(THREE, checked());
    for _ in 0..2 {
        world.check(1, Some("answered 500"));
    }
    world.check(1, None);
    for _ in 0..2 {
        world.check(1, Some("answered 500"));
    }
    assert!(world.at(1).standing().is_in_turn(), "three in a row");
    world.check(1, Some("answered 500"));
    assert_eq!(world.turn().last(), Some(&1));
    world.passes(3600);
    assert_eq!(world.turn().last(), Some(&1), "no request tries what a check knows");
    world.answers(1, 200);
    world.check(1, None);
    assert!(world.at(1).standing().checked_bad, "two in a row");
    world.check(1, None);
    assert!(world.at(1).standing().is_in_turn());
}

#[test]
fn good_checks_end_the_time_of_failed_connects_and_of_nothing_else() {
    let world = World::with(THREE, checked());
    world.check(1, None);
    world.check(2, None);
    for _ in 0..10 {
        world.passes(300);
        world.refuses(1, 3);
        world.at(2).timed_out(&world.clock);
    }
    world.check(1, None);
    world.check(2, None);
    assert!(![1, 2].contains(&world.turn()[0]), "the good ones before it failed do not count");
    world.check(1, None);
    world.check(2, None);
    assert_eq!(world.turn()[0], 1);
    assert!(!world.at(1).standing().is_in_turn(), "a request decides");
}

#[test]
fn checks_are_spread_and_never_two_at_once() {
    let (world, checks) = (World::with(THREE, checked()), Checks::default());
    let begin = |part| world.at(1).begin_check(&checks, world.clock.monotonic(), part);
    let wait = begin(0.5).unwrap_err();
    assert!(wait > Duration::from_secs(2) && wait <= Duration::from_millis(2500), "{wait:?}");
    world.clock.advance(wait + Duration::from_millis(1));
    let check = begin(0.0).unwrap();
    world.passes(60);
    assert_eq!(begin(0.0).unwrap_err(), checks.interval);
    drop(check);
    drop(begin(1.0).unwrap());
    let wait = begin(0.0).unwrap_err();
    assert!(wait > checks.interval && wait <= checks.interval.mul_f64(1.1), "{wait:?}");
    let often = Checks { interval: Duration::from_millis(100), ..checks };
    let wait = world.at(1).begin_check(&often, world.clock.monotonic(), 0.0).unwrap_err();
    assert!(wait <= Duration::from_millis(110), "a shorter interval holds at once: {wait:?}");
}

/// Two snapshots of one gateway.
fn reloaded(world: World, hosts: &[&str], health: Policy) -> World {
    let World { upstreams, clock } = world;
    let next = Upstreams::new(&[upstream("app", hosts, health)], Some(&upstreams));
    World { upstreams: next, clock }
}

#[test]
fn what_is_known_of_an_address_survives_a_reload() {
    let world = World::new(THREE);
    world.refuses(2, 3);
    world.refuses(3, 2);
    let world = reloaded(world, &["127.0.0.4", "127.0.0.3", "127.0.0.2"], Policy::default());
    assert_eq!(world.turn(), [4, 3, 2]);
    world.refuses(3, 1);
    assert_eq!(world.turn(), [4, 3, 2], "the third failure after two before the reload");
    assert!(!world.at(3).standing().is_in_turn());
    let world = reloaded(world, &["127.0.0.1", "127.0.0.4"], Policy::default());
    let world = reloaded(world, THREE, Policy::default());
    assert!(world.at(2).standing().is_in_turn(), "what was taken out begins anew");
}

#[test]
fn what_an_old_request_finds_counts_in_the_new_snapshot() {
    let world = World::new(THREE);
    let old = world.app().turn(&world.clock).next().unwrap();
    let world = reloaded(world, THREE, Policy::default());
    assert_eq!(world.turn().len(), 3);
    for _ in 0..3 {
        old.connect_failed(false, &world.clock);
    }
    assert_eq!(world.turn().last(), Some(&last(&old)));
}

#[test]
fn what_checks_said_counts_only_while_there_are_checks() {
    let world = World::with(THREE, checked());
    for _ in 0..3 {
        world.check(1, Some("answered 500"));
    }
    let world = reloaded(world, THREE, Policy::default());
    assert!(world.at(1).standing().is_in_turn());
    assert!(world.at(1).standing().last_check.is_none());
    let world = reloaded(world, THREE, checked());
    assert_eq!(world.turn().last(), Some(&1));
}

#[test]
fn another_scheme_or_port_is_another_server() {
    let world = World::new(&["127.0.0.1", "127.0.0.2"]);
    world.refuses(1, 3);
    let mut next = upstream("app", &["127.0.0.1", "127.0.0.2"], Policy::default());
    next.servers[0].scheme = Scheme::H2c;
    let next = Upstreams::new(&[next], Some(&world.upstreams));
    assert!(next.find("app").unwrap().candidates().iter().all(|c| c.standing().is_in_turn()));
}

#[test]
fn series_are_there_from_the_start_and_go_with_their_server() {
    let (metrics, world) = (Metrics::new(), World::new(THREE));
    world.upstreams.enter(&metrics);
    let lines = |what: &str| {
        let text = String::from_utf8(metrics.text()).unwrap();
        text.lines().filter(|line| line.starts_with("doorward_upstream") && line.contains(what)).count()
    };
    // Two gauges, four causes, two results.
    assert_eq!(lines("server=\"http://127.0.0.2:9000\""), 8);
    let old = world.at(2);
    let next = Upstreams::new(&[upstream("app", &["127.0.0.1"], Policy::default())], Some(&world.upstreams));
    next.enter(&metrics);
    world.upstreams.leave(&next, &metrics.upstreams);
    old.connect_failed(false, &world.clock);
    assert_eq!(lines("server=\"http://127.0.0.2:9000\""), 0, "nor does an old request bring it back");
    assert_eq!(lines("server=\"http://127.0.0.1:9000\""), 8);
    let none = Upstreams::new(&[], Some(&next));
    next.leave(&none, &metrics.upstreams);
    assert_eq!(lines(""), 0);
}

#[test]
fn a_server_that_is_configured_twice_is_one_to_its_health() {
    let world = World::new(&["127.0.0.1", "127.0.0.1", "127.0.0.2"]);
    assert_eq!(world.turn(), [1, 1, 2]);
    world.refuses(1, 3);
    assert_eq!(world.turn(), [2, 1, 1]);
}

#[tokio::test]
async fn a_name_is_looked_up_and_one_that_fails_keeps_what_it_had() {
    let world = World::new(&["localhost", "localhost", "no-such-name.invalid"]);
    assert!(!world.app().turn(&world.clock).has_next());
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
    assert_eq!(world.app().candidates().len() * 2, found.len(), "where it was, before the first look-up");
    assert_eq!(Arc::as_ptr(world.app().candidates()[0].health()), health);
}
