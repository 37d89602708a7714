//! The routes by host pattern and path, for the search of other resources.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{HostPattern, Route};
use crate::policy::route::{implies_access, is_subdomain};

/// The routes by host pattern and path.
#[derive(Debug)]
pub(in crate::policy::route) struct RouteIndex {
    pub(super) all: Vec<RouteGroup>,
    /// Whether two routes of one upstream differ in access or methods. If none do, no check here is needed.
    pub(super) differ: bool,
    /// Whether any route sets `strict_siblings`.
    pub(super) siblings: bool,
    /// Length of the longest path, in bytes.
    pub(super) longest: usize,
    /// For each route with `strip_prefix`, by name: a host for each host pattern it shares with a stricter route.
    pub(super) remainders: HashMap<String, Vec<String>>,
}

/// Routes with the same host pattern, path and `exact`.
#[derive(Debug)]
pub(super) struct RouteGroup {
    pub(super) host: HostPattern,
    pub(super) path: String,
    pub(super) exact: bool,
    pub(super) routes: Vec<Arc<Route>>,
    /// Whether any of them sets `strict_siblings`.
    pub(super) strict_siblings: bool,
}

impl RouteIndex {
    pub(in crate::policy::route) fn new(routes: &[Arc<Route>]) -> Self {
        let mut all: Vec<RouteGroup> = Vec::new();
        let mut index: HashMap<(HostPattern, String, bool), usize> = HashMap::new();
        for route in routes {
            for host in &route.hosts {
                let at = *index.entry((host.clone(), route.path.clone(), route.exact)).or_insert_with(|| {
                    let (host, path) = (host.clone(), route.path.clone());
                    let (exact, routes) = (route.exact, Vec::new());
                    all.push(RouteGroup { host, path, exact, routes, strict_siblings: false });
                    all.len() - 1
                });
                all[at].strict_siblings |= route.strict_siblings;
                all[at].routes.push(Arc::clone(route));
            }
        }
        let needs_more = |one: &Route, other: &Route| {
            one.upstream == other.upstream && (!implies_access(one, other) || !other.methods.is_empty())
        };
        let remainders = routes.iter().filter(|route| route.strip_prefix).map(|route| {
            let stricter = all.iter().filter(|group| {
                group.routes.iter().any(|other| needs_more(route, other))
                    && route.hosts.iter().any(|host| overlap(host, &group.host))
            });
            let mut hosts: Vec<String> = stricter.map(|group| some_host(&group.host)).collect();
            hosts.sort_unstable();
            hosts.dedup();
            (route.name.clone(), hosts)
        });
        Self {
            remainders: remainders.collect(),
            differ: routes.iter().any(|one| routes.iter().any(|other| needs_more(one, other))),
            siblings: routes.iter().any(|route| route.strict_siblings),
            longest: routes.iter().map(|route| route.path.len()).max().unwrap_or_default(),
            all,
        }
    }
}

/// Returns whether some host matches both patterns.
fn overlap(one: &HostPattern, other: &HostPattern) -> bool {
    match (one, other) {
        (HostPattern::Any, _) | (_, HostPattern::Any) => true,
        (HostPattern::Exact(one), HostPattern::Exact(other)) => one == other,
        (HostPattern::Exact(host), HostPattern::Below(suffix))
        | (HostPattern::Below(suffix), HostPattern::Exact(host)) => is_subdomain(host, suffix),
        (HostPattern::Below(one), HostPattern::Below(other)) => {
            one == other || is_subdomain(one, other) || is_subdomain(other, one)
        }
    }
}

/// Returns a host that matches the pattern and no narrower one. (No host of a request has a star.)
fn some_host(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(suffix) => format!("*.{suffix}"),
    }
}
