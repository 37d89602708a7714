use std::time::Duration;

use doorward::vault::{KeyUse, NewKey, StoredKey};

use super::world::{HOUR, World};

pub(crate) fn key(kid: &str) -> NewKey {
    NewKey {
        kid: kid.into(),
        key_use: KeyUse::Access,
        algorithm: "EdDSA".into(),
        sealed: kid.as_bytes().to_vec(),
        signs_after: Duration::ZERO,
        overlap: HOUR,
    }
}

fn kids(keys: &[StoredKey]) -> Vec<&str> {
    keys.iter().map(|key| key.kid.as_str()).collect()
}

pub(crate) async fn first_key_signs_at_once_and_has_no_end(world: World) {
    let before = world.vault.keys.load().await.expect("a table");
    assert!(before.keys.is_empty());
    let table = world.vault.keys.add(&[key("1")], true).await.expect("added");
    assert!(table.version > before.version);
    let [stored] = &table.keys[..] else { panic!("one key") };
    assert_eq!((stored.kid.as_str(), &stored.sealed[..], stored.verifies_until), ("1", &b"1"[..], None));
    assert_eq!((stored.algorithm.as_str(), stored.signs_from), ("EdDSA", table.now));
    let loaded = world.other.keys.load().await.expect("a table");
    assert_eq!((kids(&loaded.keys), loaded.version), (vec!["1"], table.version));
}

pub(crate) async fn successor_key_ends_predecessors_of_the_same_use(world: World) {
    let refresh = NewKey { key_use: KeyUse::Refresh, ..key("1") };
    world.vault.keys.add(&[key("1"), refresh], false).await.expect("added");
    let table =
        world.vault.keys.add(&[NewKey { signs_after: HOUR, ..key("2") }], false).await.expect("added");
    let end = |key_use, kid: &str| {
        let key = table.keys.iter().find(|key| key.key_use == key_use && key.kid == kid).expect("the key");
        (key.signs_from, key.verifies_until)
    };
    let signs_from = table.now + HOUR;
    assert_eq!(end(KeyUse::Access, "1").1, Some(signs_from + HOUR));
    assert_eq!(end(KeyUse::Access, "2"), (signs_from, None));
    assert_eq!(end(KeyUse::Refresh, "1").1, None);
    world.advance(HOUR * 2).await;
    let later = world.vault.keys.load().await.expect("a table");
    assert_eq!(later.keys.iter().filter(|key| key.key_use == KeyUse::Access).count(), 1);
}

pub(crate) async fn successor_without_overlap_ends_every_key_before_it(world: World) {
    world.vault.keys.add(&[key("1")], false).await.expect("added");
    world.vault.keys.add(&[NewKey { signs_after: HOUR, ..key("2") }], false).await.expect("added");
    // One that signs, with an end already, and one that is to sign.
    let table = world.vault.keys.add(&[NewKey { overlap: Duration::ZERO, ..key("3") }], false).await;
    assert_eq!(kids(&table.expect("added").keys), ["3"]);
    let table = world.other.keys.load().await.expect("a table");
    assert_eq!((kids(&table.keys), table.keys[0].verifies_until), (vec!["3"], None));
    // A longer overlap moves no end that there is.
    let table = world.vault.keys.add(&[key("4")], false).await.expect("added");
    let ends = table.keys[0].verifies_until;
    let later = NewKey { overlap: HOUR * 9, ..key("5") };
    let table = world.vault.keys.add(&[later], false).await.expect("added");
    assert_eq!((kids(&table.keys), table.keys[0].verifies_until), (vec!["3", "4", "5"], ends));
}

pub(crate) async fn kid_is_unique_among_live_keys_of_its_use(world: World) {
    world.vault.keys.add(&[key("1")], false).await.expect("added");
    let again = world.vault.keys.add(&[key("2"), key("1")], false).await;
    assert!(again.is_err());
    let table = world.vault.keys.load().await.expect("a table");
    assert_eq!((kids(&table.keys), table.keys[0].verifies_until), (vec!["1"], None));
    world.vault.keys.add(&[key("2")], false).await.expect("added");
    world.advance(HOUR * 2).await;
    let table = world.vault.keys.add(&[key("1")], false).await.expect("the old one is dead");
    assert_eq!(kids(&table.keys), ["2", "1"]);
}

pub(crate) async fn only_first_skips_a_use_that_has_a_key(world: World) {
    let first = world.vault.keys.add(&[key("1")], true).await.expect("added");
    let refresh = NewKey { key_use: KeyUse::Refresh, ..key("9") };
    let table = world.vault.keys.add(&[key("2"), refresh], true).await.expect("added");
    assert_eq!(kids(&table.keys), ["1", "9"]);
    assert!(table.version > first.version);
    let same = world.vault.keys.add(&[key("3")], true).await.expect("nothing to do");
    assert_eq!((kids(&same.keys), same.version), (vec!["1", "9"], table.version));
}

pub(crate) async fn replicas_starting_together_agree_on_one_key(world: World) {
    let starting: Vec<_> = (0..20)
        .map(|at| {
            let keys = if at % 2 == 0 { world.vault.keys.clone() } else { world.other.keys.clone() };
            tokio::spawn(async move { keys.add(&[key(&at.to_string())], true).await.expect("a table") })
        })
        .collect();
    let mut agreed = None;
    for start in starting {
        let table = start.await.expect("no panic");
        let kids: Vec<String> = table.keys.into_iter().map(|key| key.kid).collect();
        assert_eq!(kids.len(), 1);
        assert_eq!(*agreed.get_or_insert_with(|| kids.clone()), kids);
    }
}
