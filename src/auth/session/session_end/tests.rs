use std::path::Path;

use super::*;
use crate::config::Config;
use crate::id::UserId;

const IDLE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    let text =
        "[sessions]\nidle_timeout = \"1m\"\n[tokens]\naccess_ttl = \"1m\"\n[browser]\nidle_timeout = \"1m\"";
    Settings::new(&Config::parse(text, Path::new("gateway.toml"), &|_| None).expect("a configuration"))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000) + Duration::from_secs(seconds)
}

/// Of a session opened at 0 that lives for ten minutes at most.
fn known() -> SessionEnd {
    let end = SessionEnd::default();
    end.tell(at(60), at(600), ClientKind::Browser);
    end
}

fn id() -> SessionId {
    SessionId::from_bytes([7; 16])
}

#[test]
fn use_moves_the_end_at_once_and_is_written_once_in_a_grain() {
    let (end, settings) = (known(), settings());
    assert!(!end.used(at(2), &settings), "the vault is two seconds behind");
    assert_eq!(end.at(), Some(at(62)));
    assert!(end.used(at(10), &settings), "more than a grain");
    assert!(!end.used(at(20), &settings), "it waits to be written already");
    assert_eq!(end.at(), Some(at(80)));
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert_eq!((unwritten.until, unwritten.known, unwritten.idle), (at(80), at(60), IDLE));
    end.settle(id(), &[(id(), at(80))]);
    end.queued.store(false, Ordering::Release);
    assert!(end.unwritten(id(), &settings).is_none());
    assert!(!end.used(at(21), &settings));
    assert!(end.used(at(30), &settings));
}

#[test]
fn a_session_that_has_ended_is_not_used_and_no_use_reaches_beyond_the_absolute_end() {
    let (end, settings) = (known(), settings());
    assert!(!end.used(at(60), &settings));
    assert_eq!(end.at(), Some(at(60)));
    let end = known();
    for second in 0..700 {
        end.used(at(second), &settings);
    }
    assert_eq!(end.at(), Some(at(600)));
    end.is_over();
    assert!(!end.used(at(10), &settings));
    assert!(end.at().unwrap() < at(0), "what the vault says is over is over");
}

#[test]
fn nothing_is_known_of_a_session_nobody_told_of() {
    let (end, settings) = (SessionEnd::default(), settings());
    assert!(!end.used(at(0), &settings));
    assert_eq!(end.at(), None);
    let old = Record { user_id: UserId::from_bytes([1; 16]), expires_at: at(600), idle: None };
    end.learn_record(&old);
    assert_eq!(end.at(), None, "a record of an older doorward tells of no idle end");
    end.learn_record(&Record { idle: Some((at(60), ClientKind::Program)), ..old });
    assert_eq!(end.at(), Some(at(60)));
}

#[test]
fn what_the_vault_takes_for_ended_is_told_first_where_it_was_in_use() {
    let (end, settings) = (known(), settings());
    end.used(at(40), &settings);
    assert!(end.overdue(id(), at(59), &settings).is_none(), "the vault still takes it for alive");
    assert_eq!(end.overdue(id(), at(60), &settings).unwrap().until, at(100));
    assert!(end.overdue(id(), at(100), &settings).is_none(), "idle, whoever is asked");
    end.settle(id(), &[]);
    assert!(end.at().unwrap() < at(0), "the vault knows better");
}
