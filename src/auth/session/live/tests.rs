use super::*;

const LATER: Timestamp = Timestamp::from_secs(4_000_000_000);

const USER: UserId = UserId::from_bytes([9; 16]);

fn sid(byte: u8) -> SessionId {
    SessionId::from_bytes([byte; 16])
}

#[test]
fn revocation_cuts_registered_requests_and_marks_later_slots() {
    let table = Arc::new(LiveSessions::new());
    let slot = table.slot(sid(1));
    let before = Arc::new(Control::default());
    let registered = slot.register(&before, USER, RightsVersion(1));
    table.revoke(sid(1), LATER);
    assert_eq!(before.cause(), Some(Cut::Revoked));
    assert!(registered.is_revoked());
    drop((registered, slot));
    assert!(table.slot(sid(1)).is_revoked(), "a slot made later is marked from the set");
    assert!(!table.slot(sid(2)).is_revoked());
}

#[test]
fn concurrent_registration_and_revocation_see_each_other() {
    for _ in 0..2000 {
        let table = Arc::new(LiveSessions::new());
        let control = Arc::new(Control::default());
        let seen = std::thread::scope(|threads| {
            let revoker = threads.spawn(|| table.revoke(sid(3), LATER));
            let slot = table.slot(sid(3));
            let registered = slot.register(&control, USER, RightsVersion(1));
            let seen = registered.is_revoked();
            revoker.join().unwrap();
            seen || control.cause().is_some()
        });
        assert!(seen);
    }
}

#[test]
fn slot_is_removed_with_its_last_handle() {
    let table = Arc::new(LiveSessions::new());
    let slot = table.slot(sid(4));
    assert!(Arc::ptr_eq(&slot, &table.slot(sid(4))));
    let registered = slot.register(&Arc::new(Control::default()), USER, RightsVersion(1));
    drop(slot);
    assert_eq!((table.busy().len(), table.slot_count()), (1, 1));
    drop(registered);
    assert!(table.busy().is_empty());
    assert_eq!(table.slot_count(), 0);
}

#[test]
fn scan_covers_only_sessions_with_requests() {
    let table = Arc::new(LiveSessions::new());
    let idle: Vec<_> = (0..=255).map(|byte| table.slot(sid(byte))).collect();
    let listed = || table.busy.iter().map(|listed| lock(listed).len()).sum::<usize>();
    let control = Arc::new(Control::default());
    let enter = |slot: &Arc<Slot>| slot.register(&control, USER, RightsVersion(1));
    let (one, again) = (enter(&idle[7]), enter(&idle[7]));
    assert_eq!((listed(), table.busy().len()), (1, 1), "once, however many requests it has");
    drop((one, again));
    assert_eq!((table.busy().len(), listed()), (0, 0), "dropped by the next scan");
    let later = enter(&idle[7]);
    assert_eq!((table.busy().len(), listed()), (1, 1));
    drop(later);
}

#[test]
fn request_registered_during_a_scan_is_found_next() {
    let table = Arc::new(LiveSessions::new());
    let (slot, control) = (table.slot(sid(6)), Arc::new(Control::default()));
    for _ in 0..5000 {
        let registered = std::thread::scope(|threads| {
            let scanning = threads.spawn(|| table.busy());
            let registered = slot.register(&control, USER, RightsVersion(1));
            scanning.join().unwrap();
            registered
        });
        assert_eq!(table.busy().len(), 1);
        drop(registered);
    }
}

#[test]
fn rights_change_cuts_requests_with_older_rights() {
    let table = Arc::new(LiveSessions::new());
    let slot = table.slot(sid(5));
    let (older, newer) = (Arc::new(Control::default()), Arc::new(Control::default()));
    let _older = slot.register(&older, USER, RightsVersion(1));
    let _newer = slot.register(&newer, USER, RightsVersion(2));
    table.change_rights(USER, RightsVersion(2), LATER);
    assert_eq!((older.cause(), newer.cause()), (Some(Cut::RolesChanged), None));
}

#[test]
fn older_rights_are_refused_until_the_entry_expires() {
    let (table, user) = (LiveSessions::new(), UserId::from_bytes([9; 16]));
    assert!(table.has_rights(user, RightsVersion(0)));
    table.change_rights(user, RightsVersion(2), LATER);
    assert!(!table.has_rights(user, RightsVersion(1)));
    assert!(table.has_rights(user, RightsVersion(2)));
    table.prune(LATER);
    assert!(table.has_rights(user, RightsVersion(0)));
}
