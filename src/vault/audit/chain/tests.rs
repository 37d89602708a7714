use super::*;
use crate::id::UserId;

fn key(byte: u8) -> ChainKey {
    ChainKey::new(&Secret::new([byte; 32]))
}

fn event(seq: u64) -> AuditEvent {
    AuditEvent {
        seq,
        at: Timestamp::from_millis(1000),
        event: "login".into(),
        outcome: "success".into(),
        user: Some(UserId::from_bytes([1; 16])),
        times: 1,
        ..AuditEvent::default()
    }
}

/// A chain of `rows` rows after `anchor`.
fn chain(key: &ChainKey, anchor: ChainPoint, rows: u64) -> (Chain, Vec<LinkedEvent>) {
    let mut last = anchor;
    let linked = (1..=rows).map(|seq| {
        let event = event(seq);
        last = key.link(&last, &event);
        LinkedEvent { event, point: last, key_id: key.id().to_owned() }
    });
    let linked = linked.collect();
    let (anchor, head) = (key.seal_anchor(anchor), key.seal_head(last));
    (Chain { key_id: Some(key.id().to_owned()), anchor, head, ..unbegun() }, linked)
}

fn unbegun() -> Chain {
    let start = SealedPoint { point: ChainPoint::START, mac: Vec::new() };
    Chain {
        key_id: None,
        anchor: start.clone(),
        head: start,
        not_linked: 0,
        oldest_not_linked: None,
        now: Timestamp::EPOCH,
    }
}

fn check(
    key: &ChainKey,
    chain: &Chain,
    rows: &[LinkedEvent],
    kept: Option<ChainPoint>,
) -> Result<ChainPoint, Break> {
    let mut verifier = Verifier::new(key, chain, kept)?;
    for row in rows {
        verifier.check(row)?;
    }
    verifier.finish(None, &chain.head.point)
}

#[test]
fn whole_chain_verifies_from_any_anchor() {
    let key = key(1);
    for rows in [0, 1, 7] {
        let anchor = ChainPoint { position: 40, digest: [9; 32] };
        for anchor in [ChainPoint::START, anchor] {
            let (chain, linked) = chain(&key, anchor, rows);
            assert_eq!(check(&key, &chain, &linked, None), Ok(chain.head.point));
        }
    }
    assert_eq!(check(&key, &unbegun(), &[], None), Ok(ChainPoint::START));
}

#[test]
fn each_altered_field_is_found() {
    let key = key(1);
    let (chain, linked) = chain(&key, ChainPoint::START, 3);
    let alterations: [fn(&mut AuditEvent); 13] = [
        |event| event.seq += 1,
        |event| event.at = Timestamp::from_millis(1001),
        |event| event.event = "logout".into(),
        |event| event.outcome = "failure".into(),
        |event| event.actor = Some(String::new()),
        |event| event.user = None,
        |event| event.name = Some("x".into()),
        |event| event.session = Some(crate::id::SessionId::from_bytes([1; 16])),
        |event| event.address = Some("192.0.2.1".into()),
        |event| event.cause = Some("x".into()),
        |event| event.request_id = Some("x".into()),
        |event| event.times = 2,
        // The same bytes at another place.
        |event| (event.event, event.outcome) = ("loginsuc".into(), "cess".into()),
    ];
    for alter in alterations {
        let mut rows = linked.clone();
        alter(&mut rows[1].event);
        let found = check(&key, &chain, &rows, None);
        assert!(matches!(found, Err(Break::Altered { position: 2, .. })), "{found:?}");
    }
}

#[test]
fn missing_swapped_and_inserted_rows_are_found() {
    let key = key(1);
    let (chain, linked) = chain(&key, ChainPoint::START, 5);
    let without = |at: usize| [&linked[..at], &linked[at + 1..]].concat();
    assert_eq!(check(&key, &chain, &without(2), None), Err(Break::Missing { first: 3, last: 3 }));
    assert_eq!(check(&key, &chain, &without(0), None), Err(Break::Missing { first: 1, last: 1 }));
    assert_eq!(check(&key, &chain, &linked[..3], None), Err(Break::Missing { first: 4, last: 5 }));
    let mut swapped = linked.clone();
    let (first, second) = (linked[1].event.clone(), linked[2].event.clone());
    (swapped[1].event, swapped[2].event) = (second, first);
    assert!(matches!(check(&key, &chain, &swapped, None), Err(Break::Altered { position: 2, .. })));
    let mut inserted = linked.clone();
    inserted[3].event = event(99);
    assert!(matches!(check(&key, &chain, &inserted, None), Err(Break::Altered { position: 4, .. })));
    let mut verifier = Verifier::new(&key, &chain, None).expect("ends");
    linked.iter().for_each(|row| verifier.check(row).expect("a row"));
    assert_eq!(
        verifier.finish(Some(9), &chain.head.point),
        Err(Break::AfterEnd { position: 9, head: 5 }),
        "put behind the head"
    );
}

#[test]
fn ends_that_were_altered_are_found() {
    let key = key(1);
    let (chain, linked) = chain(&key, ChainPoint::START, 5);
    let mut cut = chain.clone();
    cut.head.point = linked[2].point;
    assert_eq!(check(&key, &cut, &linked[..3], None), Err(Break::Head));
    cut.head.mac = key.seal_anchor(linked[2].point).mac;
    assert_eq!(check(&key, &cut, &linked[..3], None), Err(Break::Head), "an anchor is no head");
    let mut begun_later = chain.clone();
    begun_later.anchor.point = linked[1].point;
    assert_eq!(check(&key, &begun_later, &linked[2..], None), Err(Break::Anchor));
    let forgotten = Chain { key_id: None, ..chain.clone() };
    assert_eq!(check(&key, &forgotten, &linked, None), Err(Break::Head));
    let other = self::key(2);
    assert!(matches!(check(&other, &chain, &linked, None), Err(Break::OtherKey { position: 5, .. })));
}

#[test]
fn kept_head_finds_a_chain_that_was_cut_or_written_anew() {
    let key = key(1);
    let (whole, linked) = chain(&key, ChainPoint::START, 5);
    let kept = linked[3].point;
    assert_eq!(check(&key, &whole, &linked, Some(kept)), Ok(whole.head.point));
    // An older head with the rows of its time, as in a backup: only the kept head tells.
    let cut = Chain { head: key.seal_head(linked[1].point), ..whole };
    assert_eq!(check(&key, &cut, &linked[..2], None), Ok(linked[1].point));
    assert_eq!(check(&key, &cut, &linked[..2], Some(kept)), Err(Break::Truncated { head: 2, kept: 4 }));
    let (anew, other) = chain(&key, ChainPoint { position: 0, digest: [7; 32] }, 5);
    assert_eq!(check(&key, &anew, &other, Some(kept)), Err(Break::Rewritten { position: 4 }));
    let (pruned, rest) = chain(&key, linked[3].point, 2);
    assert_eq!(check(&key, &pruned, &rest, Some(kept)), Ok(pruned.head.point), "the anchor itself");
    let expired = check(&key, &pruned, &rest, Some(linked[2].point));
    assert_eq!(expired, Err(Break::Expired { kept: 3, anchor: 4 }));
}

#[test]
fn point_is_read_as_it_is_printed() {
    let point = ChainPoint { position: 17, digest: [200; 32] };
    assert_eq!(point.to_string().parse(), Ok(point));
    for bad in ["", "17", ":", "x:AAAA", "17:AAAA", "-1:AAAA", &format!("17:{}", "A".repeat(100_000))] {
        assert_eq!(bad.parse::<ChainPoint>(), Err(NotAPoint), "{bad}");
    }
}
