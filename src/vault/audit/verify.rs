//! Check of a whole chain.

use super::AuditTrail;
use super::chain::{Break, Chain, ChainKey, ChainPoint, Verifier};
use crate::vault::VaultError;

/// Rows read at a time: some hundred kilobytes.
const PAGE: u32 = 1000;

/// A chain without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Last row that was checked.
    pub head: ChainPoint,
    /// Number of rows that were checked.
    pub rows: u64,
    /// Number of rows that retention has deleted before them.
    pub expired: u64,
    /// The ends of the chain, with the rows that are not linked yet.
    pub chain: Chain,
}

/// Reason why a chain is not verified.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unverified {
    /// It is broken.
    #[error(transparent)]
    Broken(#[from] Break),
    /// The vault does not respond.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Checks every row of the chain, with constant memory, beside gateways that link and delete rows.
///
/// # Errors
/// The first break.
pub async fn verify(
    trail: &dyn AuditTrail,
    key: &ChainKey,
    kept: Option<ChainPoint>,
) -> Result<Verified, Unverified> {
    let mut chain = trail.chain().await?;
    loop {
        let anchor = chain.anchor.point;
        let result = verify_from(trail, key, kept, chain).await;
        let Err(Unverified::Broken(Break::Missing { .. })) = &result else { return result };
        // Retention may have deleted them while they were being read.
        chain = trail.chain().await?;
        if chain.anchor.point == anchor {
            return result;
        }
    }
}

async fn verify_from(
    trail: &dyn AuditTrail,
    key: &ChainKey,
    kept: Option<ChainPoint>,
    chain: Chain,
) -> Result<Verified, Unverified> {
    let expired = chain.anchor.point.position;
    let mut verifier = Verifier::new(key, &chain, kept)?;
    let mut rows = 0;
    while !verifier.is_done() {
        let page = trail.linked(verifier.position(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in page.iter().filter(|row| row.point.position <= chain.head.point.position) {
            verifier.check(row)?;
            rows += 1;
        }
        // Beyond the head: what is missing before it is reported at the end.
        if page.last().is_some_and(|row| row.point.position > chain.head.point.position) {
            break;
        }
    }
    let later = trail.linked(chain.head.point.position, 1).await?;
    let now = trail.chain().await?;
    let later = later.first().map(|row| row.point.position);
    let head = verifier.finish(later, &now.head.point)?;
    Ok(Verified { head, rows, expired, chain: now })
}
