//! Which route answers: the most specific host, then the longest path by whole segments, then the method.

mod paths;
mod second;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::target::Target;
use crate::config::{Access, HostPattern, Route};
use crate::error::Refusal;
use paths::{Case, Paths};

pub use second::{Destination, Resources, Second};

/// Paths of ours outside the prefix.
pub const WELL_KNOWN: [&str; 1] = ["/.well-known/jwks.json"];

/// What a request asks for.
#[derive(Debug, Clone)]
pub enum Match {
    /// One of our own endpoints.
    Own,
    /// A route.
    Route(Arc<Route>),
}

/// The routes, ready to be asked.
#[derive(Debug)]
pub struct RouteTable {
    auth_prefix: String,
    exact_hosts: HashMap<String, Paths>,
    /// The longest first.
    below: Vec<(String, Paths)>,
    any: Option<Paths>,
    /// Whether any route is exact: only then is a path with a slash at its end another than without.
    exact: bool,
    /// Whether any route or the prefix has a capital: only then can a folded reading of a lower-case path differ.
    capitals: bool,
    /// The same routes by host and path, for requests that name more than one resource.
    places: second::Places,
}

impl RouteTable {
    /// From checked routes.
    pub fn new(auth_prefix: &str, routes: &[Route]) -> Self {
        let routes: Vec<Arc<Route>> = routes.iter().cloned().map(Arc::new).collect();
        let mut table = Self {
            auth_prefix: auth_prefix.to_owned(),
            exact_hosts: HashMap::new(),
            below: Vec::new(),
            any: None,
            exact: routes.iter().any(|route| route.exact),
            capitals: has_capital(auth_prefix) || routes.iter().any(|r| has_capital(&r.path)),
            places: second::Places::new(&routes),
        };
        for route in &routes {
            for host in &route.hosts {
                table.paths_of(host).insert(route);
            }
        }
        table.below.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    fn paths_of(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Any => self.any.get_or_insert_default(),
            HostPattern::Exact(name) => self.exact_hosts.entry(name.clone()).or_default(),
            HostPattern::Below(suffix) => {
                let at = self.below.iter().position(|(known, _)| known == suffix).unwrap_or_else(|| {
                    self.below.push((suffix.clone(), Paths::default()));
                    self.below.len() - 1
                });
                &mut self.below[at].1
            }
        }
    }

    /// Whether a route names this host (canonical), rather than answering for all hosts.
    pub fn names_host(&self, host: &str) -> bool {
        self.exact_hosts.contains_key(host) || self.below.iter().any(|(suffix, _)| is_subdomain(host, suffix))
    }

    /// What `method host target` asks for: the same for every reading of the target, or nothing.
    ///
    /// # Errors
    /// [`Refusal::TargetAmbiguous`], [`Refusal::RouteUnknown`], [`Refusal::MethodNotAllowed`].
    pub fn find(&self, host: &str, target: &Target<'_>, method: &Method) -> Result<Match, Refusal> {
        self.search(host).find(target, method)
    }

    /// A search for what answers on `host`.
    fn search<'t>(&'t self, host: &'t str) -> Search<'t> {
        Search { table: self, host, exact: self.exact_hosts.get(host), read: 0 }
    }
}

/// One request's search.
struct Search<'t> {
    table: &'t RouteTable,
    host: &'t str,
    /// The routes of exactly this host.
    exact: Option<&'t Paths>,
    /// Number of bytes that were compared with routes, over all readings.
    read: usize,
}

impl<'t> Search<'t> {
    fn find(&mut self, target: &Target<'_>, method: &Method) -> Result<Match, Refusal> {
        let mut found = None;
        for reading in target.readings() {
            self.agree(method, "", reading, &mut found)?;
        }
        match found.flatten() {
            None => Err(Refusal::RouteUnknown),
            Some(Where::Own) => Ok(Match::Own),
            Some(Where::Routes(routes)) => {
                let route = by_method(routes, method)?;
                if target.has_encoded_slash() && !route.encoded_slashes {
                    return Err(Refusal::TargetAmbiguous);
                }
                if !target.is_plain() {
                    self.stays(method, target, route, found)?;
                }
                Ok(Match::Route(Arc::clone(route)))
            }
        }
    }

    /// One reading, below `prefix`, must lead, in whatever letter case, where `found` says; the first says where.
    fn agree(
        &mut self,
        method: &Method,
        prefix: &str,
        reading: &str,
        found: &mut Option<Option<Where<'t>>>,
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
            let here = self.place(reading, case);
            if !Where::same(*found.get_or_insert(here), here) {
                return Err(Refusal::TargetAmbiguous);
            }
            // Many servers take `/report/` for `/report`.
            let bare = reading.strip_suffix('/').filter(|bare| self.table.exact && !bare.is_empty());
            if bare.is_some_and(|bare| !covers(here, self.place(bare, case), method)) {
                return Err(Refusal::TargetAmbiguous);
            }
        }
        Ok(())
    }

    /// An app that does not see the route's own path reads what is left anew, perhaps as a host and a path. Put below the route
    /// again, none of that may lead elsewhere. (Of a plain target there is one reading, and one of what is left.)
    fn stays(
        &mut self,
        method: &Method,
        target: &Target<'_>,
        route: &Route,
        mut found: Option<Option<Where<'t>>>,
    ) -> Result<(), Refusal> {
        let rest = route.stripped(target.raw().as_bytes()).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { return Ok(()) };
        let rest = Target::read(rest).map_err(|_| Refusal::TargetAmbiguous)?;
        for reading in rest.readings() {
            self.agree(method, &route.path, reading, &mut found)?;
        }
        Ok(())
    }

    /// Where one reading of a path leads.
    fn place(&mut self, path: &str, case: Case) -> Option<Where<'t>> {
        let table = self.table;
        let is_own = match case {
            Case::Kept => is_below(path, &table.auth_prefix) || WELL_KNOWN.contains(&path),
            Case::Folded => {
                is_below_folded(path, &table.auth_prefix)
                    || WELL_KNOWN.iter().any(|own| own.eq_ignore_ascii_case(path))
            }
        };
        if is_own {
            return Some(Where::Own);
        }
        let host = self.host;
        let below =
            table.below.iter().filter(|(suffix, _)| is_subdomain(host, suffix)).map(|(_, paths)| paths);
        let read = &mut self.read;
        self.exact
            .into_iter()
            .chain(below)
            .chain(table.any.as_ref())
            .find_map(|paths| paths.find(path, case, read))
            .map(Where::Routes)
    }
}

/// Where a reading leads.
#[derive(Clone, Copy)]
enum Where<'t> {
    Own,
    Routes(&'t [Arc<Route>]),
}

impl Where<'_> {
    /// Whether two readings lead to the same routes (folded tables hold the same routes in lists of their own).
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

/// Whether whoever gets through here would get through there, too.
fn covers(here: Option<Where<'_>>, there: Option<Where<'_>>, method: &Method) -> bool {
    let (Some(Where::Routes(here)), Some(Where::Routes(there))) = (here, there) else { return true };
    match (by_method(here, method), by_method(there, method)) {
        (Ok(here), Ok(there)) => suffices(here, there),
        (Ok(_), Err(_)) => false,
        (Err(_), _) => true,
    }
}

fn by_method<'t>(routes: &'t [Arc<Route>], method: &Method) -> Result<&'t Arc<Route>, Refusal> {
    let named = |route: &&Arc<Route>| route.methods.contains(method);
    // RFC 9110 section 9.3.2: HEAD is GET without the content, so it is judged as GET is.
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

/// Whether `path` is `prefix` or below it, by whole segments.
pub fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The same, whatever the letter case.
fn is_below_folded(path: &str, prefix: &str) -> bool {
    let (path, length) = (path.as_bytes(), prefix.len());
    path.get(..length).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        && matches!(path.get(length), None | Some(b'/'))
}

fn is_subdomain(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn has_capital(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase())
}

/// The host of a request in its canonical form: lower case, without port or trailing dot.
///
/// # Errors
/// [`Refusal::RequestInvalid`] for what is not a host (RFC 3986 section 3.2.2).
pub fn canonical_host(host: &str) -> Result<String, Refusal> {
    let bad = || Refusal::RequestInvalid("Host: not a host name".into());
    let port_ok = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let name = if host.starts_with('[') {
        let (address, port) = host.split_once(']').ok_or_else(bad)?;
        address[1..].parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(port_ok)) {
            return Err(bad());
        }
        &host[..=address.len()]
    } else {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        if !port_ok(port) {
            return Err(bad());
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let empty_label = name.split('.').any(str::is_empty);
        if empty_label || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(bad());
        }
        name
    };
    Ok(name.to_ascii_lowercase())
}

/// Whether whoever may use `one` may use `other`, too.
pub(super) fn suffices(one: &Route, other: &Route) -> bool {
    let as_fresh = one.always_revalidate || !other.always_revalidate;
    match (&one.access, &other.access) {
        (_, Access::Public | Access::Optional) => true,
        (Access::Public | Access::Optional, _) | (Access::SignedIn, Access::Roles(_)) => false,
        (_, Access::SignedIn) => as_fresh,
        (Access::Roles(one), Access::Roles(other)) => as_fresh && one.iter().all(|role| other.contains(role)),
    }
}

#[cfg(test)]
mod tests;
