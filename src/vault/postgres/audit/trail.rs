//! The audit trail: events, and the chain that links them.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::vault::postgres::connection::clients::{Connection, Mode};
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Span;
use crate::vault::postgres::{PostgresVault, clock};
use crate::vault::{
    AuditEvent, AuditQuery, AuditTrail, Chain, ChainKey, ChainPoint, Linked, LinkedEvent, MAX_RECORDED,
    NewAuditEvent, SealedPoint, VaultError,
};

/// Columns of an event.
macro_rules! event {
    ($rest:literal) => {
        concat!(
            "SELECT seq, at, event, outcome, actor, user_id, name, session_id, address, cause, request_id, times, position,
                    digest, key_id FROM audit ",
            $rest
        )
    };
}

/// `$1` row before which the page ends, `$2` earliest time, `$3` the limit.
const PAGE: &str = event!("WHERE seq < $1 AND ($2 IS NULL OR at >= $2) ORDER BY seq DESC LIMIT $3");
const PAGE_OF_USER: &str =
    event!("WHERE seq < $1 AND ($2 IS NULL OR at >= $2) AND user_id = $4 ORDER BY seq DESC LIMIT $3");
/// `$1` user, `$2` the limit.
const LOGINS: &str = event!(
    "WHERE user_id = $1 AND event = 'login' AND NOT EXISTS (
         SELECT 1 FROM audit e
         WHERE e.session_id = audit.session_id AND e.event = 'session_ended_by_pattern')
     ORDER BY seq DESC LIMIT $2"
);
const LINKED: &str = event!("WHERE position > $1 ORDER BY position LIMIT $2");
const NOT_LINKED: &str = event!("WHERE position IS NULL AND seq >= $1 ORDER BY seq LIMIT $2");

const RECORD: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO audit (at, event, outcome, actor, user_id, name, address, cause, request_id, times, session_id)
      SELECT now, given.* FROM clock, unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                                             $8::text[], $9::bigint[], $10::uuid[]) AS given"
);

/// Columns of the chain.
macro_rules! chain {
    ($from:literal) => {
        concat!(
            "SELECT first_seq, c.key_id, anchor_position, anchor_digest, anchor_mac, head_position, head_digest, head_mac ",
            $from
        )
    };
}

/// Its lock makes one gateway at a time link or delete; another one that finds it locked has nothing to do.
const LOCK: &str = chain!("FROM audit_chain c FOR UPDATE SKIP LOCKED");

const CHAIN: &str = concat!(
    "WITH ",
    clock!(),
    chain!(
        ", now,
         (SELECT count(*) FROM audit WHERE position IS NULL AND seq >= first_seq) AS not_linked,
         (SELECT min(at) FROM audit WHERE position IS NULL AND seq >= first_seq) AS oldest_not_linked
         FROM audit_chain c, clock"
    )
);

const IS_NEEDED: &str = "SELECT EXISTS (SELECT FROM audit_chain c JOIN audit a ON a.seq >= c.first_seq
     WHERE a.position IS NULL) AS is_needed";

const LINK: &str = "UPDATE audit a SET position = n.position, digest = n.digest, key_id = $4
     FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS n (seq, position, digest)
     WHERE a.seq = n.seq AND a.position IS NULL RETURNING a.seq";

const STORE: &str =
    "UPDATE audit_chain SET key_id = $1, anchor_position = $2, anchor_digest = $3, anchor_mac = $4,
            head_position = $5, head_digest = $6, head_mac = $7";

/// Time before which rows are deleted; `$1` retention.
const CUTOFF: &str =
    concat!("WITH ", clock!(), " SELECT now - $1::float8 * interval '1 millisecond' AS cutoff FROM clock");

const PRUNE: &str = "DELETE FROM audit WHERE position > $1 AND position <= $2 RETURNING seq";

#[async_trait]
impl AuditTrail for PostgresVault {
    async fn record(&self, events: &[NewAuditEvent]) -> Result<(), VaultError> {
        if events.is_empty() {
            return Ok(());
        }
        let events = events[..events.len().min(MAX_RECORDED)].to_vec();
        self.clients
            .query(Mode::ONCE, events, |connection, events| Box::pin(record(connection, events)))
            .await
    }

    async fn page(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, *query, |connection, query| Box::pin(page(connection, *query)))
            .await
    }

    async fn logins(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (user, limit), |connection, (user, limit)| {
                Box::pin(logins(connection, *user, *limit))
            })
            .await
    }

    async fn link(&self, key: &ChainKey, limit: u32) -> Result<Linked, VaultError> {
        // Most of the time there is nothing to link, and the lock of the chain would cost a commit.
        let is_needed = self
            .clients
            .query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(is_needed(connection)))
            .await?;
        if !is_needed {
            return Ok(Linked { rows: 0, head: None });
        }
        self.clients
            .query(Mode::TRANSACTION, (key.clone(), limit), |connection, (key, limit)| {
                Box::pin(link(connection, key, *limit))
            })
            .await
    }

    async fn prune(&self, key: &ChainKey, keep: Duration, limit: u32) -> Result<u64, VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (key.clone(), keep, limit), |connection, (key, keep, limit)| {
                Box::pin(prune(connection, key, *keep, *limit))
            })
            .await
    }

    async fn chain(&self) -> Result<Chain, VaultError> {
        self.clients.query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(chain(connection))).await
    }

    async fn linked(&self, after: u64, limit: u32) -> Result<Vec<LinkedEvent>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (after, limit), |connection, (after, limit)| {
                Box::pin(linked(connection, *after, *limit))
            })
            .await
    }
}

async fn record(connection: &Connection<'_>, events: &[NewAuditEvent]) -> Result<(), Fault> {
    let column = |text: fn(&NewAuditEvent) -> Option<String>| -> Vec<Option<String>> {
        events.iter().map(text).collect()
    };
    let users: Vec<Option<UserId>> = events.iter().map(|event| event.user).collect();
    let sessions: Vec<Option<SessionId>> = events.iter().map(|event| event.session).collect();
    let times: Vec<i64> = events.iter().map(|event| event.times.into()).collect();
    connection
        .rows(
            RECORD,
            &[
                &column(|event| Some(event.event.to_owned())),
                &column(|event| Some(event.outcome.as_str().to_owned())),
                &column(|event| Some(event.actor.clone())),
                &users,
                &column(|event| event.name.clone()),
                &column(|event| event.address.map(|address| address.to_string())),
                &column(|event| event.cause.clone()),
                &column(|event| event.request_id.clone()),
                &times,
                &sessions,
            ],
        )
        .await
        .map(drop)
}

async fn page(connection: &Connection<'_>, query: AuditQuery) -> Result<Vec<AuditEvent>, Fault> {
    let (before, limit) = (query.before.map_or(i64::MAX, signed), i64::from(query.limit));
    let rows = match query.user {
        None => connection.rows(PAGE, &[&before, &query.since, &limit]).await?,
        Some(user) => connection.rows(PAGE_OF_USER, &[&before, &query.since, &limit, &user]).await?,
    };
    Ok(rows.iter().map(event).collect::<Result<_, _>>()?)
}

async fn is_needed(connection: &Connection<'_>) -> Result<bool, Fault> {
    Ok(connection.one(IS_NEEDED, &[]).await?.try_get("is_needed")?)
}

async fn logins(connection: &Connection<'_>, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, Fault> {
    let rows = connection.rows(LOGINS, &[&user, &i64::from(limit)]).await?;
    Ok(rows.iter().map(event).collect::<Result<_, _>>()?)
}

async fn link(connection: &Connection<'_>, key: &ChainKey, limit: u32) -> Result<Linked, Fault> {
    let Some(row) = connection.row(LOCK, &[]).await? else { return Ok(Linked { rows: 0, head: None }) };
    let first_seq: i64 = row.try_get("first_seq")?;
    let mut chain = key.begun(ends(&row)?)?;
    let rows = connection.rows(NOT_LINKED, &[&first_seq, &i64::from(limit)]).await?;
    let head = chain.head.point;
    if rows.is_empty() {
        return Ok(Linked { rows: 0, head: Some(head) });
    }
    let (mut seqs, mut positions, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = head;
    for row in &rows {
        let event = event(row)?;
        last = key.link(&last, &event);
        seqs.push(signed(event.seq));
        positions.push(signed(last.position));
        digests.push(last.digest.to_vec());
    }
    let set = connection.rows(LINK, &[&seqs, &positions, &digests, &key.id()]).await?;
    if set.len() != rows.len() {
        return Err(VaultError::Unavailable("audit rows were deleted while they were linked".into()).into());
    }
    chain.head = key.seal_head(last);
    store(connection, key, &chain).await?;
    Ok(Linked { rows: rows.len() as u64, head: Some(last) })
}

async fn prune(
    connection: &Connection<'_>,
    key: &ChainKey,
    keep: Duration,
    limit: u32,
) -> Result<u64, Fault> {
    let Some(row) = connection.row(LOCK, &[]).await? else { return Ok(0) };
    let mut chain = key.begun(ends(&row)?)?;
    let anchor = chain.anchor.point;
    let cutoff: Timestamp = connection.one(CUTOFF, &[&Span(keep)]).await?.try_get("cutoff")?;
    let mut last = anchor;
    // Each is checked: nobody may make the gateway delete what was altered to look old.
    let oldest = linked(connection, anchor.position, limit).await?;
    for row in oldest.iter().take_while(|row| row.event.at < cutoff) {
        last = key.follow(last, row)?;
    }
    if last == anchor {
        return Ok(0);
    }
    let gone = connection.rows(PRUNE, &[&signed(anchor.position), &signed(last.position)]).await?;
    chain.anchor = key.seal_anchor(last);
    store(connection, key, &chain).await?;
    Ok(gone.len() as u64)
}

async fn store(connection: &Connection<'_>, key: &ChainKey, chain: &Chain) -> Result<(), Fault> {
    let (anchor, head) = (&chain.anchor, &chain.head);
    connection
        .rows(
            STORE,
            &[
                &key.id(),
                &signed(anchor.point.position),
                &&anchor.point.digest[..],
                &anchor.mac,
                &signed(head.point.position),
                &&head.point.digest[..],
                &head.mac,
            ],
        )
        .await
        .map(drop)
}

async fn chain(connection: &Connection<'_>) -> Result<Chain, Fault> {
    let missing = || VaultError::Damaged("the vault's table `audit_chain` is empty: restore a backup".into());
    let row = connection.row(CHAIN, &[]).await?.ok_or_else(missing)?;
    let not_linked: i64 = row.try_get("not_linked")?;
    Ok(Chain {
        not_linked: not_linked.unsigned_abs(),
        oldest_not_linked: row.try_get("oldest_not_linked")?,
        now: row.try_get("now")?,
        ..ends(&row)?
    })
}

async fn linked(connection: &Connection<'_>, after: u64, limit: u32) -> Result<Vec<LinkedEvent>, Fault> {
    let rows = connection.rows(LINKED, &[&signed(after), &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let key_id: Option<String> = row.try_get("key_id")?;
            Ok(LinkedEvent { event: event(row)?, point: point(row)?, key_id: key_id.unwrap_or_default() })
        })
        .collect()
}

/// Reads both ends of the chain.
fn ends(row: &Row) -> Result<Chain, Fault> {
    let end = |position, digest, mac| -> Result<SealedPoint, Fault> {
        let (position, mac): (i64, Option<Vec<u8>>) = (row.try_get(position)?, row.try_get(mac)?);
        let point =
            ChainPoint { position: position.unsigned_abs(), digest: stored_digest(row.try_get(digest)?) };
        Ok(SealedPoint { point, mac: mac.unwrap_or_default() })
    };
    Ok(Chain {
        key_id: row.try_get("key_id")?,
        anchor: end("anchor_position", "anchor_digest", "anchor_mac")?,
        head: end("head_position", "head_digest", "head_mac")?,
        not_linked: 0,
        oldest_not_linked: None,
        now: Timestamp::EPOCH,
    })
}

fn point(row: &Row) -> Result<ChainPoint, tokio_postgres::Error> {
    let position: i64 = row.try_get("position")?;
    Ok(ChainPoint { position: position.unsigned_abs(), digest: stored_digest(row.try_get("digest")?) })
}

/// Reads a digest. One of another length matches none.
fn stored_digest(bytes: Option<&[u8]>) -> [u8; 32] {
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

fn event(row: &Row) -> Result<AuditEvent, tokio_postgres::Error> {
    let (seq, times, position): (i64, i64, Option<i64>) =
        (row.try_get("seq")?, row.try_get("times")?, row.try_get("position")?);
    Ok(AuditEvent {
        // A negative number is nobody's: the digest of its row does not fit.
        seq: u64::try_from(seq).unwrap_or(u64::MAX),
        at: row.try_get("at")?,
        event: row.try_get("event")?,
        outcome: row.try_get("outcome")?,
        actor: row.try_get("actor")?,
        user: row.try_get("user_id")?,
        name: row.try_get("name")?,
        session: row.try_get("session_id")?,
        address: row.try_get("address")?,
        cause: row.try_get("cause")?,
        request_id: row.try_get("request_id")?,
        times: u64::try_from(times).unwrap_or(u64::MAX),
        position: position.map(|position| u64::try_from(position).unwrap_or(u64::MAX)),
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
