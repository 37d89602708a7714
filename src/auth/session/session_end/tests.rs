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

/// End of a session opened at 0 with an absolute end at 600 s.
fn sample() -> SessionEnd {
    let end = SessionEnd::default();
    end.store(at(60), at(600), ClientKind::Browser);
    end
}

fn id() -> SessionId {
    SessionId::from_bytes([7; 16])
}

#[test]
fn use_moves_the_end_and_is_written_once_per_grain() {
    let (end, settings) = (sample(), settings());
    assert!(!end.record_use(at(2), 0, &settings), "the vault is two seconds behind");
    assert_eq!(end.at(), Some(at(62)));
    assert!(end.record_use(at(10), 0, &settings), "more than a grain");
    assert!(!end.record_use(at(20), 0, &settings), "it is queued already");
    assert_eq!(end.at(), Some(at(80)));
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert_eq!((unwritten.until, unwritten.known, unwritten.idle), (at(80), at(60), IDLE));
    end.settle(&unwritten, &[(id(), at(80))]);
    assert!(!end.end_write(Some(&unwritten), &settings));
    assert!(end.unwritten(id(), &settings).is_none());
    assert!(!end.record_use(at(21), 0, &settings));
    assert!(end.record_use(at(30), 0, &settings));
}

#[test]
fn use_never_revives_a_session_or_passes_its_absolute_end() {
    let (end, settings) = (sample(), settings());
    assert!(!end.record_use(at(60), 0, &settings));
    assert_eq!(end.at(), Some(at(60)));
    let end = sample();
    for second in 0..700 {
        end.record_use(at(second), 0, &settings);
    }
    assert_eq!(end.at(), Some(at(600)));
    end.mark_ended();
    assert!(!end.record_use(at(10), 0, &settings));
    assert!(end.at().unwrap() < at(0), "the vault's end is final");
}

#[test]
fn end_is_unknown_until_a_store_reports_it() {
    let (end, settings) = (SessionEnd::default(), settings());
    assert!(!end.record_use(at(0), 0, &settings));
    assert_eq!(end.at(), None);
    let old = Record { user_id: UserId::from_bytes([1; 16]), expires_at: at(600), idle: None };
    end.learn_record(&old);
    assert_eq!(end.at(), None, "a record of an older doorward has no idle end");
    end.learn_record(&Record { idle: Some((at(60), ClientKind::Program)), ..old });
    assert_eq!(end.at(), Some(at(60)));
}

#[test]
fn unwritten_use_is_overdue_once_the_stored_end_passes() {
    let (end, settings) = (sample(), settings());
    end.record_use(at(40), 0, &settings);
    assert!(end.overdue(id(), at(59), &settings).is_none(), "the vault's stored end has not passed");
    assert_eq!(end.overdue(id(), at(60), &settings).unwrap().until, at(100));
    assert!(end.overdue(id(), at(100), &settings).is_none(), "idle by both ends");
    end.settle(&end.unwritten(id(), &settings).unwrap(), &[]);
    assert!(end.at().unwrap() < at(0), "the vault's response wins");
}

#[test]
fn use_of_a_new_generation_is_written_once() {
    let (end, settings) = (sample(), settings());
    assert!(!end.record_use(at(0), 0, &settings));
    assert!(end.record_use(at(0), 2, &settings));
    assert!(!end.record_use(at(0), 2, &settings), "it is queued already");
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert_eq!(unwritten.generation, 2);
    // Used while that was written.
    assert!(!end.record_use(at(0), 3, &settings));
    end.settle(&unwritten, &[(id(), at(60))]);
    assert!(end.end_write(Some(&unwritten), &settings), "it is queued again");
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert_eq!(unwritten.generation, 3);
    end.settle(&unwritten, &[(id(), at(60))]);
    assert!(!end.end_write(Some(&unwritten), &settings));
    assert!(!end.record_use(at(0), 3, &settings));
    end.mark_ended();
    end.record_use(at(0), 4, &settings);
    assert!(end.unwritten(id(), &settings).is_none());
}

#[test]
fn use_during_a_write_is_queued_after_it() {
    let (end, settings) = (sample(), settings());
    assert!(end.record_use(at(10), 1, &settings));
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert!(!end.record_use(at(30), 1, &settings), "being written");
    end.settle(&unwritten, &[(id(), at(70))]);
    assert!(end.end_write(Some(&unwritten), &settings), "the later use is more than a grain away");
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert_eq!(unwritten.until, at(90));
    assert!(!end.record_use(at(31), 2, &settings), "being written");
    end.settle(&unwritten, &[(id(), at(90))]);
    assert!(end.end_write(Some(&unwritten), &settings), "a newer generation was used");
    let unwritten = end.unwritten(id(), &settings).unwrap();
    end.settle(&unwritten, &[(id(), at(91))]);
    assert!(!end.end_write(Some(&unwritten), &settings));
}

#[test]
fn late_response_to_an_older_use_does_not_end_a_session_used_since() {
    let (end, settings) = (sample(), settings());
    assert!(end.record_use(at(30), 0, &settings));
    let unwritten = end.unwritten(id(), &settings).unwrap();
    assert!(!end.record_use(at(80), 0, &settings), "being written");
    // The vault executes the write at 95: the use at 30 ended at 90.
    end.settle(&unwritten, &[]);
    assert_eq!(end.at(), Some(at(140)));
    assert!(end.end_write(Some(&unwritten), &settings), "the use at 80 is queued");
    let unwritten = end.unwritten(id(), &settings).unwrap();
    end.settle(&unwritten, &[]);
    assert!(end.at().unwrap() < at(0), "the response to the last use is final");
    assert!(!end.end_write(Some(&unwritten), &settings));
}

#[test]
fn what_cannot_be_written_is_not_queued_again() {
    let (end, settings) = (sample(), settings());
    assert!(end.record_use(at(10), 1, &settings));
    let unwritten = end.unwritten(id(), &settings).unwrap();
    // A vault whose clock is behind stores an earlier end.
    end.settle(&unwritten, &[(id(), at(61))]);
    assert!(!end.end_write(Some(&unwritten), &settings));
    end.mark_ended();
    assert!(!end.end_write(None, &settings));
    let unknown = SessionEnd::default();
    assert!(unknown.record_use(at(10), 1, &settings));
    assert!(unknown.unwritten(id(), &settings).is_none());
    assert!(!unknown.end_write(None, &settings));
}

#[test]
fn use_is_not_lost_to_a_write_that_ends_at_the_same_time() {
    const ROUNDS: u64 = 1_000_000;
    let (end, settings) = (SessionEnd::default(), settings());
    end.store(at(60), at(10 * ROUNDS), ClientKind::Browser);
    let (moved, begun) = (AtomicBool::new(false), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            while !moved.load(Ordering::Relaxed) {
                let now = end.at().expect("an end");
                let written = SessionUse { id: id(), until: now, known: now, idle: IDLE, generation: 0 };
                end.settle(&written, &[(id(), now + Duration::from_millis(1))]);
            }
        });
        begun.wait();
        // The other thread must end, so nothing is asserted before.
        let lost = (0..2 * ROUNDS).step_by(2).find(|&second| {
            end.record_use(at(second), 0, &settings);
            end.at().expect("an end") + Duration::from_secs(1) < at(second) + IDLE
        });
        moved.store(true, Ordering::Relaxed);
        assert_eq!(lost, None, "second of a use that is lost");
    });
}
