//! The audit trail: events, and the chain that links them.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Row, params};

use crate::id::UserId;
use crate::vault::sqlite::SqliteVault;
use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::reader::View;
use crate::vault::sqlite::writer::Tx;
use crate::vault::{
    AuditEvent, AuditQuery, AuditTrail, Chain, ChainKey, ChainPoint, Linked, LinkedEvent, MAX_RECORDED,
    NewAuditEvent, SealedPoint, VaultError,
};

/// `?1` row before which the page ends, `?2` earliest time, `?3` the limit.
const PAGE: &str =
    "SELECT * FROM audit WHERE seq < ?1 AND (?2 IS NULL OR at >= ?2) ORDER BY seq DESC LIMIT ?3";
const PAGE_OF_USER: &str = "SELECT * FROM audit WHERE seq < ?1 AND (?2 IS NULL OR at >= ?2) AND user_id = ?4 \
     ORDER BY seq DESC LIMIT ?3";
/// `?1` user, `?2` the limit.
const LOGINS: &str = "SELECT * FROM audit WHERE user_id = ?1 AND event = 'login' AND NOT EXISTS ( \
         SELECT 1 FROM audit e \
         WHERE e.session_id = audit.session_id AND e.event = 'session_ended_by_pattern') \
     ORDER BY seq DESC LIMIT ?2";
const LINKED: &str = "SELECT * FROM audit WHERE position > ?1 ORDER BY position LIMIT ?2";
const NOT_LINKED: &str = "SELECT * FROM audit WHERE key_id IS NULL ORDER BY seq LIMIT ?1";
const CHAIN: &str = "SELECT * FROM audit_chain";

#[async_trait]
impl AuditTrail for SqliteVault {
    async fn record(&self, events: &[NewAuditEvent]) -> Result<(), VaultError> {
        let events = events[..events.len().min(MAX_RECORDED)].to_vec();
        if events.is_empty() {
            return Ok(());
        }
        self.writer.run(move |tx| events.iter().try_for_each(|event| record(tx, event))).await
    }

    async fn page(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, VaultError> {
        let query = *query;
        self.readers.query(move |view| page(view, query)).await
    }

    async fn logins(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, VaultError> {
        self.readers.query(move |view| view.rows(LOGINS, params![user, limit], event)).await
    }

    async fn link(&self, key: &ChainKey, limit: u32) -> Result<Linked, VaultError> {
        // Most of the time there is nothing to link, and a read waits for nobody.
        let is_needed = |view: &View<'_>| {
            view.value::<bool>("SELECT EXISTS (SELECT 1 FROM audit WHERE key_id IS NULL)", [])
        };
        if !self.readers.query(is_needed).await? {
            return Ok(Linked { rows: 0, head: None });
        }
        let key = key.clone();
        self.writer.run(move |tx| link(tx, &key, limit)).await
    }

    async fn prune(&self, key: &ChainKey, keep: Duration, limit: u32) -> Result<u64, VaultError> {
        let key = key.clone();
        self.writer.run(move |tx| prune(tx, &key, keep, limit)).await
    }

    async fn chain(&self) -> Result<Chain, VaultError> {
        self.readers.query(chain).await
    }

    async fn linked(&self, after: u64, limit: u32) -> Result<Vec<LinkedEvent>, VaultError> {
        self.readers.query(move |view| view.rows(LINKED, params![signed(after), limit], linked)).await
    }
}

fn record(tx: &Tx<'_>, event: &NewAuditEvent) -> Result<(), Fault> {
    let address = event.address.map(|address| address.to_string());
    tx.execute(
        "INSERT INTO audit (at, event, outcome, actor, user_id, name, address, cause, request_id, times, session_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            tx.now(),
            event.event,
            event.outcome.as_str(),
            event.actor,
            event.user,
            event.name,
            address,
            event.cause,
            event.request_id,
            event.times,
            event.session,
        ],
    )?;
    Ok(())
}

fn page(view: &View<'_>, query: AuditQuery) -> Result<Vec<AuditEvent>, Fault> {
    let before = query.before.map_or(i64::MAX, signed);
    match query.user {
        None => view.rows(PAGE, params![before, query.since, query.limit], event),
        Some(user) => view.rows(PAGE_OF_USER, params![before, query.since, query.limit, user], event),
    }
}

fn link(tx: &Tx<'_>, key: &ChainKey, limit: u32) -> Result<Linked, Fault> {
    let mut chain = key.begun(ends(tx)?)?;
    let rows = tx.rows(NOT_LINKED, params![limit], event)?;
    let mut last = chain.head.point;
    if rows.is_empty() {
        return Ok(Linked { rows: 0, head: Some(last) });
    }
    for event in &rows {
        last = key.link(&last, event);
        let set = tx.execute(
            "UPDATE audit SET position = ?2, digest = ?3, key_id = ?4 WHERE seq = ?1",
            params![signed(event.seq), signed(last.position), last.digest.as_slice(), key.id()],
        )?;
        if set != 1 {
            return Err(VaultError::Damaged(format!(
                "the audit row {} has a number that no gateway gives",
                event.seq
            ))
            .into());
        }
    }
    chain.head = key.seal_head(last);
    store(tx, key, &chain)?;
    Ok(Linked { rows: rows.len() as u64, head: Some(last) })
}

fn prune(tx: &Tx<'_>, key: &ChainKey, keep: Duration, limit: u32) -> Result<u64, Fault> {
    let mut chain = key.begun(ends(tx)?)?;
    let (anchor, cutoff) = (chain.anchor.point, tx.now() - keep);
    let oldest = tx.rows(LINKED, params![signed(anchor.position), limit], linked)?;
    let mut last = anchor;
    // Each is checked: nobody may make the gateway delete what was altered to look old.
    for row in oldest.into_iter().take_while(|row| row.event.at < cutoff) {
        last = key.follow(last, &row)?;
    }
    if last == anchor {
        return Ok(0);
    }
    let gone = tx.execute("DELETE FROM audit WHERE position <= ?1", params![signed(last.position)])?;
    chain.anchor = key.seal_anchor(last);
    store(tx, key, &chain)?;
    Ok(gone as u64)
}

fn store(tx: &Tx<'_>, key: &ChainKey, chain: &Chain) -> Result<(), Fault> {
    let (anchor, head) = (&chain.anchor, &chain.head);
    tx.execute(
        "UPDATE audit_chain SET key_id = ?1, anchor_position = ?2, anchor_digest = ?3, anchor_mac = ?4, \
                                head_position = ?5, head_digest = ?6, head_mac = ?7",
        params![
            key.id(),
            signed(anchor.point.position),
            anchor.point.digest.as_slice(),
            anchor.mac,
            signed(head.point.position),
            head.point.digest.as_slice(),
            head.mac,
        ],
    )?;
    Ok(())
}

fn chain(view: &View<'_>) -> Result<Chain, Fault> {
    let not_linked: i64 = view.value("SELECT count(*) FROM audit WHERE key_id IS NULL", [])?;
    let oldest = view.value("SELECT min(at) FROM audit WHERE key_id IS NULL", [])?;
    Ok(Chain {
        not_linked: not_linked.unsigned_abs(),
        oldest_not_linked: oldest,
        now: view.now(),
        ..ends(view)?
    })
}

/// Reads both ends of the chain.
fn ends(view: &View<'_>) -> Result<Chain, Fault> {
    let ends = view.row(CHAIN, [], |row| {
        let end = |position, digest, mac| -> rusqlite::Result<SealedPoint> {
            let (position, mac): (i64, Option<Vec<u8>>) = (row.get(position)?, row.get(mac)?);
            let point =
                ChainPoint { position: position.unsigned_abs(), digest: stored_digest(row.get(digest)?) };
            Ok(SealedPoint { point, mac: mac.unwrap_or_default() })
        };
        Ok(Chain {
            key_id: row.get("key_id")?,
            anchor: end("anchor_position", "anchor_digest", "anchor_mac")?,
            head: end("head_position", "head_digest", "head_mac")?,
            not_linked: 0,
            oldest_not_linked: None,
            now: view.now(),
        })
    })?;
    let missing = || VaultError::Damaged("the vault's table `audit_chain` is empty: restore a backup".into());
    Ok(ends.ok_or_else(missing)?)
}

fn linked(row: &Row<'_>) -> rusqlite::Result<LinkedEvent> {
    let key_id: Option<String> = row.get("key_id")?;
    Ok(LinkedEvent { event: event(row)?, point: point(row)?, key_id: key_id.unwrap_or_default() })
}

fn point(row: &Row<'_>) -> rusqlite::Result<ChainPoint> {
    let position: i64 = row.get("position")?;
    Ok(ChainPoint { position: position.unsigned_abs(), digest: stored_digest(row.get("digest")?) })
}

/// Reads a digest. One of another length matches none.
fn stored_digest(bytes: Option<Vec<u8>>) -> [u8; 32] {
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

fn event(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let (seq, times, position): (i64, i64, Option<i64>) =
        (row.get("seq")?, row.get("times")?, row.get("position")?);
    Ok(AuditEvent {
        // A negative number is nobody's: the digest of its row does not fit.
        seq: u64::try_from(seq).unwrap_or(u64::MAX),
        at: row.get("at")?,
        event: row.get("event")?,
        outcome: row.get("outcome")?,
        actor: row.get("actor")?,
        user: row.get("user_id")?,
        name: row.get("name")?,
        session: row.get("session_id")?,
        address: row.get("address")?,
        cause: row.get("cause")?,
        request_id: row.get("request_id")?,
        times: u64::try_from(times).unwrap_or(u64::MAX),
        position: position.map(|position| u64::try_from(position).unwrap_or(u64::MAX)),
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
