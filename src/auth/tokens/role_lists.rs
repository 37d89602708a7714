//! Role lists of cached tokens, each held once: many users have few different lists.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::identity::Roles;

/// Number of lists below which unused ones are kept.
const KEPT: usize = 1024;

/// The lists in use.
pub(crate) struct RoleLists(Mutex<Known>);

struct Known {
    lists: HashSet<Roles>,
    /// Number of lists at which unused ones are dropped: twice those in use when they were last dropped, so that an
    /// insertion costs a constant time on average.
    drop_at: usize,
}

impl RoleLists {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { lists: HashSet::new(), drop_at: KEPT }))
    }

    /// Returns the same roles, in the memory that all tokens with these roles share.
    pub(crate) fn share(&self, roles: Roles) -> Roles {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.lists.get(&roles) {
            return shared.clone();
        }
        if known.lists.len() >= known.drop_at {
            known.lists.retain(Roles::is_shared);
            known.drop_at = (2 * known.lists.len()).max(KEPT);
        }
        known.lists.insert(roles.clone());
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(number: usize) -> Roles {
        Roles::parse([format!("role-{number}").as_str(), "staff"]).unwrap()
    }

    #[test]
    fn equal_lists_share_memory_and_unused_ones_are_dropped() {
        let lists = RoleLists::new();
        let kept = lists.share(roles(0));
        assert_eq!(lists.share(roles(0)), kept);
        let in_use: Vec<_> = (0..2 * KEPT).map(|number| lists.share(roles(number))).collect();
        let len = |lists: &RoleLists| lists.0.lock().unwrap().lists.len();
        assert_eq!(len(&lists), 2 * KEPT, "lists in use stay");
        drop(in_use);
        for number in 10_000..20_000 {
            lists.share(roles(number));
        }
        assert!(len(&lists) <= 4 * KEPT, "{}", len(&lists));
        drop(lists.share(roles(0)));
        assert!(lists.0.lock().unwrap().lists.contains(&kept), "one in use is still shared");
    }
}
