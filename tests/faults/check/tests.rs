//! Small histories with one breach each, so that no rule is vacuous, and the same without the breach.

use super::{Case, Rule};
use crate::bounds::Bounds;
use crate::history::{Entry, History, Micros, Note, Op, Reach, Scope, Seen, State};

const MS: Micros = 1000;
const S: Micros = 1_000_000;

fn entry(start: Micros, gateway: impl Into<Option<usize>>, op: Op) -> Entry {
    Entry {
        start,
        end: start + 10 * MS,
        gateway: gateway.into(),
        user: "ada".to_owned(),
        session: "s".to_owned(),
        op,
        status: 200,
        code: String::new(),
        retry_after: false,
        seen: None,
    }
}

fn login() -> Entry {
    entry(0, 0, Op::Login { password: 0 })
}

fn accepted(start: Micros, gateway: usize) -> Entry {
    let seen = Seen { user: "ada".to_owned(), session: "s".to_owned(), roles: 0 };
    Entry { seen: Some(seen), ..entry(start, gateway, Op::Call { roles: 0 }) }
}

fn with(status: u16, code: &str, entry: Entry) -> Entry {
    Entry { status, code: code.to_owned(), seen: None, ..entry }
}

fn logout(start: Micros, gateway: usize, complete: bool) -> Entry {
    entry(
        start,
        gateway,
        Op::End { scope: Scope::Session("s".to_owned()), complete, how: "logout".to_owned() },
    )
}

fn revoke(start: Micros) -> Entry {
    entry(start, None, Op::End { scope: Scope::User, complete: false, how: "revoke".to_owned() })
}

fn refresh(start: Micros, presented: &str, got: Option<&str>) -> Entry {
    entry(start, 0, Op::Refresh { presented: presented.to_owned(), got: got.map(str::to_owned) })
}

/// Rules that the checker finds broken.
fn found(entries: &[Entry], notes: &[(Micros, Note)]) -> Vec<Rule> {
    let history = History { entries: entries.to_vec(), notes: notes.to_vec() };
    Case::new(&history, 3, &Bounds::default()).violations().iter().map(|found| found.rule).collect()
}

fn vault(at: Micros, gateway: usize, reach: Reach) -> (Micros, Note) {
    (at, Note::Vault { gateway, reach })
}

fn redis(at: Micros, gateway: usize, reach: Reach) -> (Micros, Note) {
    (at, Note::Redis { gateway, reach })
}

fn process(at: Micros, gateway: usize, state: State) -> (Micros, Note) {
    (at, Note::Process { gateway, state })
}

const NOTHING: [Rule; 0] = [];

#[test]
fn revocation_holds_at_once_where_it_was_taken() {
    let late = |start, gateway| found(&[login(), logout(S, 0, true), accepted(start, gateway)], &[]);
    assert_eq!(late(S + 11 * MS, 0), [Rule::AcceptedRevoked]);
    // Sent before the acknowledgement.
    assert_eq!(late(S + 9 * MS, 0), NOTHING);
    // Another gateway has milliseconds, with the slack of a busy machine.
    assert_eq!(late(S + 300 * MS, 1), NOTHING);
    assert_eq!(late(S + 700 * MS, 1), [Rule::AcceptedRevoked]);
    assert_eq!(found(&[login(), revoke(S), accepted(S + 700 * MS, 0)], &[]), [Rule::AcceptedRevoked]);
}

#[test]
fn gateway_without_stores_has_the_lease() {
    let cut = [vault(0, 1, Reach::Down), redis(0, 1, Reach::Down)];
    let late = |start| found(&[login(), logout(S, 0, false), accepted(start, 1)], &cut);
    assert_eq!(late(2 * S), NOTHING);
    assert_eq!(late(2 * S + 300 * MS), [Rule::AcceptedRevoked]);
}

#[test]
fn starved_machine_accepts_no_revoked_session_for_longer() {
    let notes = [(S + 600 * MS, Note::Starved { span: 500 * MS })];
    let late = |start| found(&[login(), logout(S, 0, true), accepted(start, 1)], &notes);
    assert_eq!(late(S + 700 * MS), [Rule::AcceptedRevoked]);
}

#[test]
fn gateway_without_the_vault_sees_tombstones() {
    let cut = [vault(0, 1, Reach::Down)];
    let late = |start, complete| found(&[login(), logout(S, 0, complete), accepted(start, 1)], &cut);
    assert_eq!(late(2 * S + 300 * MS, true), [Rule::AcceptedRevoked]);
    // The others write it too, which takes up to a lease.
    assert_eq!(late(2 * S + 300 * MS, false), NOTHING);
    assert_eq!(late(3 * S, false), [Rule::AcceptedRevoked]);
    // Nobody could write it: what is left is `vault_outage_grace`.
    let notes = [vault(0, 1, Reach::Down), redis(0, 0, Reach::Down), redis(0, 2, Reach::Down)];
    let late = |start| found(&[login(), logout(S, 0, false), accepted(start, 1)], &notes);
    assert_eq!(late(50 * S), NOTHING);
    assert_eq!(late(63 * S), [Rule::AcceptedRevoked]);
    // Redis lost it.
    let notes = [vault(0, 1, Reach::Down), (2 * S, Note::RedisForgets { begins: true })];
    assert_eq!(found(&[login(), logout(S, 0, true), accepted(5 * S, 1)], &notes), NOTHING);
}

#[test]
fn gateway_that_wakes_reads_the_log_first() {
    let notes = [process(S, 1, State::Paused), process(9 * S, 1, State::Runs)];
    // Sent while it was stalled, long after the acknowledgement, and accepted when it woke.
    assert_eq!(found(&[login(), revoke(2 * S), accepted(8 * S, 1)], &notes), [Rule::AcceptedRevoked]);
    assert_eq!(found(&[login(), revoke(2 * S), accepted(9 * S + MS, 1)], &notes), [Rule::AcceptedRevoked]);
    // Woken within the lease it may not know.
    assert_eq!(found(&[login(), revoke(8 * S + 500 * MS), accepted(8 * S + 900 * MS, 1)], &notes), NOTHING);
}

#[test]
fn stalled_machine_gets_up_to_the_lease() {
    let notes = [(S + 600 * MS, Note::Stall { span: 500 * MS })];
    let late = |start| found(&[login(), logout(S, 0, true), accepted(start, 1)], &notes);
    assert_eq!(late(S + 700 * MS), NOTHING);
    assert_eq!(late(2 * S + 300 * MS), [Rule::AcceptedRevoked]);
}

#[test]
fn old_roles_are_refused() {
    let change = |start| entry(start, None, Op::Roles { version: 1 });
    assert_eq!(found(&[login(), change(S), accepted(S + 700 * MS, 1)], &[]), [Rule::AcceptedOldRoles]);
    assert_eq!(found(&[login(), change(S), accepted(S + 100 * MS, 1)], &[]), NOTHING);
    let refused = with(401, "token_expired", entry(S + 20 * MS, 1, Op::Call { roles: 0 }));
    assert_eq!(found(&[login(), change(S), refused.clone()], &[]), NOTHING);
    assert_eq!(found(&[login(), refused], &[]), [Rule::RefusedLive]);
    let in_vault = entry(3 * S, None, Op::VaultUser { roles: 0 });
    assert_eq!(found(&[login(), change(S), in_vault], &[]), [Rule::LostWrite]);
}

#[test]
fn stream_ends_with_its_session() {
    let stream = |last| entry(20 * MS, 1, Op::Stream { roles: 0, last });
    assert_eq!(found(&[login(), logout(S, 0, true), stream(S + 600 * MS)], &[]), NOTHING);
    assert_eq!(found(&[login(), logout(S, 0, true), stream(3 * S)], &[]), [Rule::StreamOutlivesRevocation]);
    let cut = [vault(0, 1, Reach::Down)];
    assert_eq!(found(&[login(), logout(S, 0, true), stream(6 * S)], &cut), NOTHING);
    assert_eq!(found(&[login(), logout(S, 0, true), stream(9 * S)], &cut), [Rule::StreamOutlivesRevocation]);
}

#[test]
fn live_session_is_neither_refused_nor_lost() {
    let refused = with(401, "token_revoked", entry(S, 1, Op::Call { roles: 0 }));
    assert_eq!(found(&[login(), refused.clone()], &[]), [Rule::RefusedLive]);
    // An end without a response may have taken effect; one that began later has not.
    let lost = |start| with(0, "cut", logout(start, 0, false));
    let kills = [process(0, 0, State::Down)];
    assert_eq!(found(&[login(), lost(S / 2), refused.clone()], &kills), NOTHING);
    assert_eq!(found(&[login(), lost(2 * S), refused], &kills), [Rule::RefusedLive]);
    let gone = entry(3 * S, None, Op::Vault { live: false });
    assert_eq!(found(&[login(), gone.clone()], &[]), [Rule::SessionLost]);
    assert_eq!(found(&[login(), revoke(S), gone], &[]), NOTHING);
    let there = entry(3 * S, None, Op::Vault { live: true });
    assert_eq!(found(&[login(), revoke(S), there.clone()], &[]), [Rule::LostWrite]);
    assert_eq!(found(&[login(), there], &[]), NOTHING);
}

#[test]
fn sessions_opened_meanwhile_may_live_or_not() {
    let during = Entry { start: S, ..login() };
    let mut end = revoke(S - 100 * MS);
    end.end = 2 * S;
    let (mut login, live) = (during, entry(3 * S, None, Op::Vault { live: true }));
    login.end = S + 10 * MS;
    assert_eq!(found(&[login.clone(), end.clone(), live], &[]), NOTHING);
    let gone = entry(3 * S, None, Op::Vault { live: false });
    assert_eq!(found(&[login, end, gone], &[]), NOTHING);
}

#[test]
fn restored_vault_has_lost_changes_and_no_session() {
    let roles = entry(S, 0, Op::Roles { version: 1 });
    let old = |start| Entry { session: "t".to_owned(), ..entry(start, 0, Op::Login { password: 0 }) };
    let old_call = |start| {
        let seen = Seen { user: "ada".to_owned(), session: "t".to_owned(), roles: 0 };
        Entry { session: "t".to_owned(), seen: Some(seen), ..entry(start, 1, Op::Call { roles: 0 }) }
    };
    let entries = [login(), roles, revoke(3 * S), old(4 * S), old_call(5 * S), accepted(5 * S, 1)];
    let found = |from| {
        let notes = vec![(3 * S + 20 * MS, Note::VaultRestored { from })];
        let history = History { entries: entries.to_vec(), notes }.without_lost_changes();
        let found = Case::new(&history, 3, &Bounds::default()).violations();
        found.iter().map(|found| found.rule).collect::<Vec<_>>()
    };
    // The backup is older than the change of roles; sessions of before are revoked all the same.
    assert_eq!(found(S / 2), [Rule::AcceptedRevoked]);
    assert_eq!(found(2 * S), [Rule::AcceptedOldRoles, Rule::AcceptedRevoked, Rule::AcceptedOldRoles]);
}

#[test]
fn identity_belongs_to_the_token() {
    for (user, session, roles) in [("bea", "s", 0), ("ada", "t", 0), ("ada", "s", 1)] {
        let mut call = accepted(S, 1);
        call.seen = Some(Seen { user: user.to_owned(), session: session.to_owned(), roles });
        assert_eq!(found(&[login(), call], &[]), [Rule::OtherIdentity]);
    }
}

#[test]
fn refresh_token_has_one_successor() {
    let (one, two) = (refresh(S, "a", Some("b")), refresh(2 * S, "a", Some("b")));
    assert_eq!(found(&[login(), one.clone(), two], &[]), NOTHING);
    assert_eq!(found(&[login(), one, refresh(2 * S, "a", Some("c"))], &[]), [Rule::TwoSuccessors]);
}

#[test]
fn refresh_after_a_lost_response_is_granted() {
    let lost = with(0, "hung_up", refresh(S, "a", None));
    let reused = |start| with(401, "refresh_reused", refresh(start, "a", None));
    assert_eq!(found(&[login(), lost.clone(), reused(30 * S)], &[]), [Rule::RefusedRefresh]);
    // After the grace, or when its successor has been used.
    assert_eq!(found(&[login(), lost, reused(62 * S)], &[]), NOTHING);
    let next = [refresh(S, "a", Some("b")), refresh(2 * S, "b", Some("c"))];
    assert_eq!(found(&[&[login()], &next[..], &[reused(3 * S)]].concat(), &[]), NOTHING);
    assert_eq!(found(&[login(), revoke(S), refresh(2 * S, "a", Some("b"))], &[]), [Rule::RefreshedRevoked]);
}

#[test]
fn sign_in_follows_acknowledged_changes() {
    let log_in = |start, status| {
        with(status, "", Entry { session: String::new(), ..entry(start, 0, Op::Login { password: 0 }) })
    };
    let disable = entry(S, None, Op::Disable);
    assert_eq!(found(&[disable.clone(), log_in(2 * S, 200)], &[]), [Rule::AdmittedLogin]);
    assert_eq!(found(&[disable.clone(), log_in(2 * S, 401)], &[]), NOTHING);
    let enable = entry(3 * S, None, Op::Enable);
    assert_eq!(found(&[disable.clone(), enable.clone(), log_in(4 * S, 200)], &[]), NOTHING);
    assert_eq!(found(&[disable, enable, log_in(4 * S, 401)], &[]), [Rule::RefusedLogin]);
    let change = entry(S, None, Op::Password { version: 1 });
    assert_eq!(found(&[change, log_in(2 * S, 200)], &[]), [Rule::AdmittedLogin]);
    assert_eq!(found(&[log_in(2 * S, 401)], &[]), [Rule::RefusedLogin]);
}

#[test]
fn refusals_are_quick_and_say_when_to_try_again() {
    let refused = |span, retry_after| {
        let call = with(503, "store_unavailable", entry(S, 1, Op::Call { roles: 0 }));
        Entry { end: S + span, retry_after, ..call }
    };
    assert_eq!(found(&[login(), refused(MS, true)], &[]), NOTHING);
    assert_eq!(found(&[login(), refused(MS, false)], &[]), [Rule::NoRetryAfter]);
    assert_eq!(found(&[login(), refused(20 * S, true)], &[]), [Rule::LateRefusal]);
    let paused = [process(2 * S, 1, State::Paused), process(20 * S, 1, State::Runs)];
    assert_eq!(found(&[login(), refused(20 * S, true)], &paused), NOTHING);
    let starved = |span| [(4 * S, Note::Starved { span })];
    assert_eq!(found(&[login(), refused(3 * S, true)], &starved(2 * S)), NOTHING);
    assert_eq!(found(&[login(), refused(3 * S, true)], &starved(S / 2)), [Rule::LateRefusal]);
}

#[test]
fn every_request_gets_an_expected_response() {
    let with_status = |status, code: &str| with(status, code, entry(S, 1, Op::Call { roles: 0 }));
    assert_eq!(found(&[login(), with_status(0, "cut")], &[]), [Rule::NoResponse]);
    assert_eq!(found(&[login(), with_status(0, "cut")], &[process(S, 1, State::Down)]), NOTHING);
    assert_eq!(found(&[login(), revoke(S), with_status(0, "cut")], &[]), NOTHING);
    assert_eq!(found(&[login(), with_status(500, "internal")], &[]), [Rule::UnexpectedStatus]);
    assert_eq!(
        found(&[with(503, "", Entry { retry_after: true, ..entry(S, 1, Op::Public) })], &[]),
        [Rule::RefusedPublic]
    );
}
