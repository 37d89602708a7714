//! Routing: the most specific host, then the longest path by whole segments, then the method.

mod other_resources;
mod paths;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::target::Target;
use crate::config::{Access, HostPattern, Route};
use crate::error::Refusal;
use crate::text::has_prefix_ignoring_case;
use paths::{Case, Paths};

pub use other_resources::{Destination, RequiredRoute, Resources};

/// Paths of the gateway outside its prefix.
pub const WELL_KNOWN: [&str; 1] = ["/.well-known/jwks.json"];

/// Result of routing a request.
#[derive(Debug, Clone)]
pub enum Match {
    /// An endpoint of the gateway itself.
    Own,
    /// A route.
    Route(Arc<Route>),
}

/// The compiled routes.
#[derive(Debug)]
pub struct RouteTable {
    auth_prefix: String,
    exact_hosts: HashMap<String, Paths>,
    /// Wildcard hosts, the longest suffix first.
    wildcard_hosts: Vec<(String, Paths)>,
    any: Option<Paths>,
    /// Whether any route is exact. Only then does a trailing slash make a difference.
    exact: bool,
    /// Whether any route or the prefix has a capital letter. Only then can a case-folded reading of a lower-case path
    /// differ.
    capitals: bool,
    /// The same routes by host and path, for requests that name more than one resource.
    index: other_resources::RouteIndex,
}

impl RouteTable {
    /// Compiles checked routes.
    pub fn new(auth_prefix: &str, routes: &[Route]) -> Self {
        let routes: Vec<Arc<Route>> = routes.iter().cloned().map(Arc::new).collect();
        let mut table = Self {
            auth_prefix: auth_prefix.to_owned(),
            exact_hosts: HashMap::new(),
            wildcard_hosts: Vec::new(),
            any: None,
            exact: routes.iter().any(|route| route.exact),
            capitals: has_capital(auth_prefix) || routes.iter().any(|r| has_capital(&r.path)),
            index: other_resources::RouteIndex::new(&routes),
        };
        for route in &routes {
            for host in &route.hosts {
                table.paths_of(host).insert(route);
            }
        }
        table.wildcard_hosts.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    fn paths_of(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Any => self.any.get_or_insert_default(),
            HostPattern::Exact(name) => self.exact_hosts.entry(name.clone()).or_default(),
            HostPattern::Below(suffix) => {
                let at =
                    self.wildcard_hosts.iter().position(|(known, _)| known == suffix).unwrap_or_else(|| {
                        self.wildcard_hosts.push((suffix.clone(), Paths::default()));
                        self.wildcard_hosts.len() - 1
                    });
                &mut self.wildcard_hosts[at].1
            }
        }
    }

    /// Returns whether a route names this canonical host, rather than matching all hosts.
    pub fn names_host(&self, host: &str) -> bool {
        self.exact_hosts.contains_key(host)
            || self.wildcard_hosts.iter().any(|(suffix, _)| is_subdomain(host, suffix))
    }

    /// Routes a request. The result is the same for every reading of the target, or the request is refused.
    ///
    /// # Errors
    /// [`Refusal::TargetAmbiguous`], [`Refusal::RouteUnknown`], [`Refusal::MethodNotAllowed`].
    pub fn find(&self, host: &str, target: &Target<'_>, method: &Method) -> Result<Match, Refusal> {
        self.search(host).find(target, method)
    }

    /// Routes at a host and an unambiguous path, for any method. Empty for a path of the gateway.
    pub fn at(&self, host: &str, path: &str) -> &[Arc<Route>] {
        let below = self
            .wildcard_hosts
            .iter()
            .filter(|(suffix, _)| is_subdomain(host, suffix))
            .map(|(_, paths)| paths);
        let tables = self.exact_hosts.get(host).into_iter().chain(below).chain(self.any.as_ref());
        let is_own = is_below(path, &self.auth_prefix) || WELL_KNOWN.contains(&path);
        let mut tables = tables.filter(|_| !is_own);
        tables.find_map(|paths| paths.find(path, Case::Kept, &mut 0)).unwrap_or_default()
    }

    /// Starts a search on `host`.
    fn search<'t>(&'t self, host: &'t str) -> Search<'t> {
        Search { table: self, host, exact: self.exact_hosts.get(host), read: 0 }
    }
}

/// The search for one request.
struct Search<'t> {
    table: &'t RouteTable,
    host: &'t str,
    /// The routes of exactly this host.
    exact: Option<&'t Paths>,
    /// Number of bytes compared with routes, over all readings.
    read: usize,
}

impl<'t> Search<'t> {
    fn find(&mut self, target: &Target<'_>, method: &Method) -> Result<Match, Refusal> {
        let mut found = None;
        for reading in target.readings() {
            self.check_reading(method, "", reading, &mut found)?;
        }
        match found.flatten() {
            None => Err(Refusal::RouteUnknown),
            Some(Matched::Own) => Ok(Match::Own),
            Some(Matched::Routes(routes)) => {
                let route = by_method(routes, method)?;
                if target.has_encoded_slash() && !route.encoded_slashes {
                    return Err(Refusal::TargetAmbiguous);
                }
                if !target.is_plain() {
                    self.check_stripped(method, target, route, found)?;
                }
                Ok(Match::Route(Arc::clone(route)))
            }
        }
    }

    /// Checks that one reading below `prefix` has the result `found`, in both letter cases. The first reading sets
    /// `found`.
    fn check_reading(
        &mut self,
        method: &Method,
        prefix: &str,
        reading: &str,
        found: &mut Option<Option<Matched<'t>>>,
    ) -> Result<(), Refusal> {
        let whole;
        let reading = if prefix.is_empty() {
            reading
        } else {
            whole = format!("{prefix}{reading}");
            &whole
        };
        let cases = if self.table.capitals || has_capital(reading) {
            &[Case::Kept, Case::Folded][..]
        } else {
            &[Case::Kept]
        };
        for &case in cases {
            let here = self.match_reading(reading, case);
            if !Matched::same(*found.get_or_insert(here), here) {
                return Err(Refusal::TargetAmbiguous);
            }
            // Many servers treat `/report/` as `/report`.
            let bare = reading.strip_suffix('/').filter(|bare| self.table.exact && !bare.is_empty());
            if bare.is_some_and(|bare| !access_covers(here, self.match_reading(bare, case), method)) {
                return Err(Refusal::TargetAmbiguous);
            }
        }
        Ok(())
    }

    /// Checks the path that is left without the route's prefix. The app may read it differently, perhaps as a host and
    /// a path. Below the route again, no reading of it may lead to another route. (A plain target has one reading, and
    /// so has what is left of it.)
    fn check_stripped(
        &mut self,
        method: &Method,
        target: &Target<'_>,
        route: &Route,
        mut found: Option<Option<Matched<'t>>>,
    ) -> Result<(), Refusal> {
        let rest = route.stripped(target.raw().as_bytes()).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { return Ok(()) };
        let rest = Target::read(rest).map_err(|_| Refusal::TargetAmbiguous)?;
        for reading in rest.readings() {
            self.check_reading(method, &route.path, reading, &mut found)?;
        }
        Ok(())
    }

    /// Returns the match for one reading of a path.
    fn match_reading(&mut self, path: &str, case: Case) -> Option<Matched<'t>> {
        let table = self.table;
        let is_own = match case {
            Case::Kept => is_below(path, &table.auth_prefix) || WELL_KNOWN.contains(&path),
            Case::Folded => {
                is_below_folded(path, &table.auth_prefix)
                    || WELL_KNOWN.iter().any(|own| own.eq_ignore_ascii_case(path))
            }
        };
        if is_own {
            return Some(Matched::Own);
        }
        let host = self.host;
        let wildcard_hosts = table
            .wildcard_hosts
            .iter()
            .filter(|(suffix, _)| is_subdomain(host, suffix))
            .map(|(_, paths)| paths);
        let read = &mut self.read;
        self.exact
            .into_iter()
            .chain(wildcard_hosts)
            .chain(table.any.as_ref())
            .find_map(|paths| paths.find(path, case, read))
            .map(Matched::Routes)
    }
}

/// Match for one reading.
#[derive(Clone, Copy)]
enum Matched<'t> {
    Own,
    Routes(&'t [Arc<Route>]),
}

impl Matched<'_> {
    /// Returns whether two readings match the same routes (folded tables hold the same routes in separate lists).
    fn same(one: Option<Self>, other: Option<Self>) -> bool {
        match (one, other) {
            (None, None) | (Some(Self::Own), Some(Self::Own)) => true,
            (Some(Self::Routes(one)), Some(Self::Routes(other))) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
            }
            _ => false,
        }
    }
}

/// Returns whether access to the first match implies access to the second.
fn access_covers(here: Option<Matched<'_>>, there: Option<Matched<'_>>, method: &Method) -> bool {
    let (Some(Matched::Routes(here)), Some(Matched::Routes(there))) = (here, there) else { return true };
    match (by_method(here, method), by_method(there, method)) {
        (Ok(here), Ok(there)) => implies_access(here, there),
        (Ok(_), Err(_)) => false,
        (Err(_), _) => true,
    }
}

fn by_method<'t>(routes: &'t [Arc<Route>], method: &Method) -> Result<&'t Arc<Route>, Refusal> {
    let named = |route: &&Arc<Route>| route.methods.contains(method);
    // RFC 9110 section 9.3.2: HEAD is GET without content, so the rules of GET apply.
    let as_get = |route: &&Arc<Route>| method == Method::HEAD && route.methods.contains(&Method::GET);
    let open = |route: &&Arc<Route>| route.methods.is_empty();
    let route =
        routes.iter().find(named).or_else(|| routes.iter().find(as_get)).or_else(|| routes.iter().find(open));
    route.ok_or_else(|| {
        let mut allowed: Vec<&str> =
            routes.iter().flat_map(|r| r.methods.iter().map(Method::as_str)).collect();
        allowed.sort_unstable();
        allowed.dedup();
        Refusal::MethodNotAllowed(allowed.join(", "))
    })
}

/// Returns whether `path` is `prefix` or below it, by whole segments.
pub fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// As [`is_below`], without regard to letter case.
fn is_below_folded(path: &str, prefix: &str) -> bool {
    has_prefix_ignoring_case(path.as_bytes(), prefix.as_bytes())
        && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
}

fn is_subdomain(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn has_capital(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase())
}

/// Returns the canonical form of a request's host: lower case, without port or trailing dot.
///
/// # Errors
/// [`Refusal::RequestInvalid`] if it is not a host (RFC 3986 section 3.2.2).
pub fn canonical_host(host: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::RequestInvalid("Host: not a host name".into());
    // RFC 3986 section 3.2.3 allows any digits, and none; TCP has 16 bits.
    let port_ok = |port: &str| {
        let is_number = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        port.is_empty() || port.len() <= 5 && is_number
    };
    let name = if host.starts_with('[') {
        let (address, port) = host.split_once(']').ok_or_else(invalid)?;
        address[1..].parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(port_ok)) {
            return Err(invalid());
        }
        &host[..=address.len()]
    } else {
        let (name, port) = match memchr::memrchr(b':', host.as_bytes()) {
            Some(at) => (&host[..at], &host[at + 1..]),
            None => (host, ""),
        };
        if !port_ok(port) {
            return Err(invalid());
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        // In one pass: runs for every request.
        let (mut previous, mut is_name) = (b'.', true);
        for byte in name.bytes() {
            let is_dot = byte == b'.';
            is_name &=
                is_dot && previous != b'.' || byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            previous = byte;
        }
        // No label is empty.
        if !is_name || previous == b'.' {
            return Err(invalid());
        }
        name
    };
    Ok(name.to_ascii_lowercase())
}

/// Returns whether access to `one` implies access to `other`.
pub(super) fn implies_access(one: &Route, other: &Route) -> bool {
    let as_fresh = (one.always_revalidate || !other.always_revalidate) && one.proof.implies(&other.proof);
    match (&one.access, &other.access) {
        (_, Access::Public | Access::Optional) => true,
        (Access::Public | Access::Optional, _) | (Access::SignedIn, Access::Roles(_)) => false,
        (_, Access::SignedIn) => as_fresh,
        (Access::Roles(one), Access::Roles(other)) => as_fresh && one.iter().all(|role| other.contains(role)),
    }
}

#[cfg(test)]
mod tests;
