//! The chain of audit rows: what is linked, and how it is checked.
//!
//! ```text
//!  digest(n) = HMAC-SHA-256(key, digest(n - 1), n, row)        n: position, 1 and up
//!
//!  anchor --- row --- row --- row --- head        rows not linked yet
//!  sealed                             sealed
//! ```
//!
//! The anchor is the last row that retention has deleted, at first position 0. The head is the last row that was linked.
//! Both are sealed by a MAC under the same key, so that rows cannot be cut off at either end, except by putting back an
//! older head together with the rows of its time. Whoever keeps a head elsewhere finds that too.

use aws_lc_rs::{constant_time, hmac};

use super::{AuditEvent, LinkedEvent};
use crate::clock::Timestamp;
use crate::id::{base64url, from_base64url};
use crate::secret::Secret;
use crate::vault::VaultError;

/// Key of the chain.
#[derive(Clone, Debug)]
pub struct ChainKey {
    key: hmac::Key,
    id: String,
}

/// A point of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPoint {
    /// Position of the row; 0 before the first.
    pub position: u64,
    /// Digest of the row and of all before.
    pub digest: [u8; 32],
}

impl ChainPoint {
    /// Point before the first row.
    pub const START: Self = Self { position: 0, digest: [0; 32] };
}

fn damaged(fault: &Break) -> VaultError {
    VaultError::Damaged(format!("{fault}: see `doorward vault audit --verify`"))
}

impl std::fmt::Display for ChainPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.position, base64url(self.digest))
    }
}

/// A text is not a point of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a head of the audit trail: give what `doorward vault audit --head` printed, as in `17:dGhl…`")]
pub struct NotAPoint;

impl std::str::FromStr for ChainPoint {
    type Err = NotAPoint;

    fn from_str(text: &str) -> Result<Self, NotAPoint> {
        let (position, digest) = text.trim().split_once(':').ok_or(NotAPoint)?;
        let digest = from_base64url(digest).and_then(|bytes| bytes.try_into().ok()).ok_or(NotAPoint)?;
        Ok(Self { position: position.parse().map_err(|_| NotAPoint)?, digest })
    }
}

/// An end of the chain, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPoint {
    /// The point.
    pub point: ChainPoint,
    /// MAC over it.
    pub mac: Vec<u8>,
}

/// The ends of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Id of the key; `None` before the first row is linked.
    pub key_id: Option<String>,
    /// Last row that was deleted by retention.
    pub anchor: SealedPoint,
    /// Last row.
    pub head: SealedPoint,
    /// Number of rows that are not linked yet.
    pub not_linked: u64,
    /// Time of the oldest of them.
    pub oldest_not_linked: Option<Timestamp>,
    /// Current time of the vault's clock.
    pub now: Timestamp,
}

/// End of the chain that a MAC is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Anchor,
    Head,
}

impl ChainKey {
    /// Purpose for which the key is derived from the master secret.
    pub const DERIVATION: &str = "audit chain";

    /// Creates the key from a derived secret.
    pub fn new(secret: &Secret<[u8; 32]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        // 6 bytes: enough to tell keys apart, and nothing about them.
        let id = base64url(&hmac::sign(&key, b"key id").as_ref()[..6]);
        Self { key, id }
    }

    /// Returns the id of the key, which is stored with each row.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the point of a row that follows `before`.
    pub(crate) fn link(&self, before: &ChainPoint, event: &AuditEvent) -> ChainPoint {
        let position = before.position + 1;
        let mut mac = Fields(hmac::Context::with_key(&self.key));
        mac.field(b"row");
        mac.field(&before.digest);
        mac.field(&position.to_be_bytes());
        mac.field(&event.seq.to_be_bytes());
        mac.field(&event.at.millis().to_be_bytes());
        mac.field(event.event.as_bytes());
        mac.field(event.outcome.as_bytes());
        mac.optional(event.actor.as_deref());
        mac.optional(event.user.as_ref().map(|id| id.as_bytes()));
        mac.optional(event.name.as_deref());
        mac.optional(event.session.as_ref().map(|id| id.as_bytes()));
        mac.optional(event.address.as_deref());
        mac.optional(event.cause.as_deref());
        mac.optional(event.request_id.as_deref());
        mac.field(&event.times.to_be_bytes());
        ChainPoint { position, digest: mac.tag() }
    }

    /// Returns the point of a stored row, which must follow `before` unaltered.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if a row is missing before it, or it was altered.
    pub(crate) fn follow(&self, before: ChainPoint, row: &LinkedEvent) -> Result<ChainPoint, VaultError> {
        let (position, next) = (row.point.position, before.position + 1);
        if position != next {
            return Err(damaged(&Break::Missing { first: next, last: position.saturating_sub(1) }));
        }
        let point = self.link(&before, &row.event);
        if row.key_id != self.id || point.digest != row.point.digest {
            return Err(damaged(&Break::Altered { position, seq: row.event.seq, at: row.event.at }));
        }
        Ok(point)
    }

    /// Returns the chain with its ends checked. One that has not begun begins.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if an end was altered.
    pub(crate) fn begun(&self, chain: Chain) -> Result<Chain, VaultError> {
        self.check_ends(&chain).map_err(|fault| damaged(&fault))?;
        if chain.key_id.is_some() {
            return Ok(chain);
        }
        let (anchor, head) = (self.seal_anchor(ChainPoint::START), self.seal_head(ChainPoint::START));
        Ok(Chain { key_id: Some(self.id.clone()), anchor, head, ..chain })
    }

    /// Seals the head of the chain.
    pub(crate) fn seal_head(&self, point: ChainPoint) -> SealedPoint {
        SealedPoint { mac: self.mac(End::Head, &point).to_vec(), point }
    }

    /// Seals the anchor of the chain.
    pub(crate) fn seal_anchor(&self, point: ChainPoint) -> SealedPoint {
        SealedPoint { mac: self.mac(End::Anchor, &point).to_vec(), point }
    }

    /// Checks both ends. A chain without a key has not begun.
    ///
    /// # Errors
    /// [`Break::OtherKey`], [`Break::Anchor`], [`Break::Head`].
    pub fn check_ends(&self, chain: &Chain) -> Result<(), Break> {
        let Some(key_id) = &chain.key_id else { return self.check_unbegun(chain) };
        if *key_id != self.id {
            return Err(Break::OtherKey { position: chain.head.point.position, key_id: key_id.clone() });
        }
        let is_sealed = |end, sealed: &SealedPoint| {
            constant_time::verify_slices_are_equal(&self.mac(end, &sealed.point), &sealed.mac).is_ok()
        };
        if !is_sealed(End::Anchor, &chain.anchor) {
            return Err(Break::Anchor);
        }
        if !is_sealed(End::Head, &chain.head) || chain.head.point.position < chain.anchor.point.position {
            return Err(Break::Head);
        }
        Ok(())
    }

    fn check_unbegun(&self, chain: &Chain) -> Result<(), Break> {
        let is_unbegun = |sealed: &SealedPoint| sealed.point == ChainPoint::START && sealed.mac.is_empty();
        if is_unbegun(&chain.anchor) && is_unbegun(&chain.head) { Ok(()) } else { Err(Break::Head) }
    }

    fn mac(&self, end: End, point: &ChainPoint) -> [u8; 32] {
        let mut mac = Fields(hmac::Context::with_key(&self.key));
        mac.field(match end {
            End::Anchor => b"anchor",
            End::Head => b"head",
        });
        mac.field(&point.position.to_be_bytes());
        mac.field(&point.digest);
        mac.tag()
    }
}

/// Fields of a MAC, each with its length, so that no two lists of fields are the same bytes.
struct Fields(hmac::Context);

impl Fields {
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn optional(&mut self, value: Option<impl AsRef<[u8]>>) {
        match value {
            None => self.0.update(&[0]),
            Some(value) => {
                self.0.update(&[1]);
                self.field(value.as_ref());
            }
        }
    }

    fn tag(self) -> [u8; 32] {
        self.0.sign().as_ref().try_into().expect("a SHA-256 has 32 bytes")
    }
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The anchor does not have its MAC.
    #[error("the start of the audit trail was altered: its anchor does not have its MAC")]
    Anchor,
    /// The head does not have its MAC.
    #[error("the end of the audit trail was altered: its head does not have its MAC")]
    Head,
    /// A row was linked under another master secret.
    #[error("row {position} of the audit trail was linked under another master secret (key {key_id})")]
    OtherKey {
        /// Position of the row.
        position: u64,
        /// Id of that key.
        key_id: String,
    },
    /// Rows are not there.
    #[error("rows {first} to {last} of the audit trail are missing")]
    Missing {
        /// Position of the first one.
        first: u64,
        /// Position of the last one.
        last: u64,
    },
    /// A row was altered, inserted, or moved.
    #[error("row {position} of the audit trail ({seq}, {at}) was altered, inserted or moved")]
    Altered {
        /// Position of the row.
        position: u64,
        /// Number of the row.
        seq: u64,
        /// Time that the row states.
        at: Timestamp,
    },
    /// There is a row after the end.
    #[error("row {position} of the audit trail is after its end, which is at {head}: it was inserted")]
    AfterEnd {
        /// Position of the row.
        position: u64,
        /// Position of the head.
        head: u64,
    },
    /// The chain does not reach a point that was kept elsewhere.
    #[error(
        "the audit trail ends at {head}, before the head that was kept: rows {head} to {kept} were cut off"
    )]
    Truncated {
        /// Position of the head.
        head: u64,
        /// Position that was kept.
        kept: u64,
    },
    /// The row at the position that was kept elsewhere is another one.
    #[error(
        "row {position} of the audit trail is not the one whose head was kept: the trail was written anew"
    )]
    Rewritten {
        /// Position that was kept.
        position: u64,
    },
    /// Retention has deleted the row of a point that was kept elsewhere.
    #[error(
        "row {kept} of the audit trail was deleted by retention, which has reached {anchor}: keep a newer head"
    )]
    Expired {
        /// Position that was kept.
        kept: u64,
        /// Position of the anchor.
        anchor: u64,
    },
}

/// Check of a chain, row by row, with constant memory.
#[derive(Debug)]
pub struct Verifier<'a> {
    key: &'a ChainKey,
    last: ChainPoint,
    head: ChainPoint,
    /// Point that was kept elsewhere and has not been reached.
    kept: Option<ChainPoint>,
}

impl<'a> Verifier<'a> {
    /// Starts a check at the anchor. With `kept`, a head that was printed before, its row must be in the chain.
    ///
    /// # Errors
    /// Those of [`ChainKey::check_ends`]; [`Break::Truncated`], [`Break::Expired`], [`Break::Rewritten`].
    pub fn new(key: &'a ChainKey, chain: &Chain, kept: Option<ChainPoint>) -> Result<Self, Break> {
        key.check_ends(chain)?;
        let (anchor, head) = (chain.anchor.point, chain.head.point);
        let mut verifier = Self { key, last: anchor, head, kept };
        if let Some(kept) = kept {
            if kept.position > head.position {
                return Err(Break::Truncated { head: head.position, kept: kept.position });
            }
            if kept.position < anchor.position {
                return Err(Break::Expired { kept: kept.position, anchor: anchor.position });
            }
        }
        verifier.meet(anchor)?;
        Ok(verifier)
    }

    /// Position after which the next rows are read.
    pub const fn position(&self) -> u64 {
        self.last.position
    }

    /// Whether every row up to the head was checked.
    pub const fn is_done(&self) -> bool {
        self.last.position >= self.head.position
    }

    /// Checks the next row. Rows after the head that this check began with are ignored: they were linked meanwhile.
    ///
    /// # Errors
    /// [`Break::Missing`], [`Break::Altered`], [`Break::OtherKey`], [`Break::Rewritten`].
    pub fn check(&mut self, row: &LinkedEvent) -> Result<(), Break> {
        if self.is_done() {
            return Ok(());
        }
        let (position, next) = (row.point.position, self.last.position + 1);
        if position != next {
            // Rows come in order of their positions, each once.
            return Err(Break::Missing { first: next, last: position.min(self.head.position + 1) - 1 });
        }
        if row.key_id != self.key.id {
            return Err(Break::OtherKey { position, key_id: row.key_id.clone() });
        }
        let point = self.key.link(&self.last, &row.event);
        if constant_time::verify_slices_are_equal(&point.digest, &row.point.digest).is_err() {
            return Err(Break::Altered { position, seq: row.event.seq, at: row.event.at });
        }
        self.last = point;
        self.meet(point)
    }

    /// Ends the check, when no more rows are there. `later` is the position of a row after the head, and `now` is the head
    /// as read after that: rows may have been linked meanwhile, but none is behind the head.
    ///
    /// # Errors
    /// [`Break::Missing`], [`Break::Head`], [`Break::AfterEnd`].
    pub fn finish(self, later: Option<u64>, now: &ChainPoint) -> Result<ChainPoint, Break> {
        if !self.is_done() {
            return Err(Break::Missing { first: self.last.position + 1, last: self.head.position });
        }
        if self.last.digest != self.head.digest {
            return Err(Break::Head);
        }
        match later {
            Some(position) if position > now.position => {
                Err(Break::AfterEnd { position, head: now.position })
            }
            _ => Ok(self.last),
        }
    }

    /// Compares a point with the one that was kept.
    fn meet(&mut self, point: ChainPoint) -> Result<(), Break> {
        match self.kept {
            Some(kept) if kept.position == point.position => {
                self.kept = None;
                if kept == point { Ok(()) } else { Err(Break::Rewritten { position: kept.position }) }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
