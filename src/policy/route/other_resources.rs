//! Resources that a request affects besides its target, and the routes whose access it needs for them.
//!
//! | resource | rule |
//! |---|---|
//! | `Destination` of COPY and MOVE (RFC 4918 section 10.3) | authorized as a request of the same method, of PUT and of DELETE |
//! | the source of COPY and MOVE | authorized as GET, that of MOVE as DELETE too |
//! | members of a collection (RFC 4918 sections 8.7, 9.6.1, 9.8.3, 9.9.2, 9.10.3) | every route below the path |
//! | fields and bodies that may name any resource | every route of the same upstream |
//! | the path without the stripped prefix (`strip_prefix`) | routed as the app sees it |
//! | other names of the same resource | the route that they resemble |

mod lookalike;
mod named;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::paths::Case;
use super::{Match, Matched, RouteTable, Search, by_method, implies_access, is_subdomain};
use crate::config::{HostPattern, Route};
use crate::error::Refusal;
use crate::policy::target::{Target, Unreadable};
use named::Reach;

pub use named::Destination;

/// Requirements of a request besides the access of its own route.
#[derive(Debug, Default, PartialEq)]
pub struct Resources {
    /// Routes whose access the caller needs too.
    pub also: Vec<RequiredRoute>,
    /// The checked `Destination` of COPY and MOVE.
    pub destination: Option<Destination>,
}

/// A route whose access a request needs besides that of its own route.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredRoute {
    /// The route.
    pub route: Arc<Route>,
    /// Reason for the requirement.
    pub reason: Reason,
}

/// Reason why a request needs the access of another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It names a resource of that route, perhaps by another name: authorized as a request for it.
    Target,
    /// It acts on the members of a collection, and some of them belong to that route.
    Members,
    /// It may name any resource of the app.
    Anything,
}

impl Reason {
    /// Returns the refusal for a signed-in user without the role.
    pub(in crate::policy) const fn refusal(self) -> Refusal {
        match self {
            Self::Target => Refusal::RoleMissing,
            Self::Members => Refusal::OtherResource(
                "it acts on all members, and some below the path are for other roles: send it to a path below, or with Depth: 0",
            ),
            Self::Anything => Refusal::OtherResource(
                "it can name any resource of the app, and some are for other roles: send one request for each resource",
            ),
        }
    }
}

/// Refusal of a `Destination` that this gateway cannot authorize.
const DESTINATION_REFUSED: Refusal =
    Refusal::OtherResource("Destination: not of the same app, or not open to this method");

/// Refusal when no route allows the method for a resource that the request affects.
const METHOD_REFUSED: Refusal = Refusal::OtherResource(
    "the method is not allowed for something that the request acts on: send it to a path below",
);

/// The routes by host pattern and path.
#[derive(Debug)]
pub(super) struct RouteIndex {
    all: Vec<RouteGroup>,
    /// Whether two routes of one upstream differ in access or methods. If none do, no check here is needed.
    differ: bool,
    /// Whether any route sets `strict_siblings`.
    siblings: bool,
    /// For each route with `strip_prefix`, by name: a host for each host pattern it shares with a stricter route.
    remainders: HashMap<String, Vec<String>>,
}

/// Routes with the same host pattern, path and `exact`.
#[derive(Debug)]
struct RouteGroup {
    host: HostPattern,
    path: String,
    exact: bool,
    routes: Vec<Arc<Route>>,
}

impl RouteIndex {
    pub(super) fn new(routes: &[Arc<Route>]) -> Self {
        let mut all: Vec<RouteGroup> = Vec::new();
        let mut index: HashMap<(HostPattern, String, bool), usize> = HashMap::new();
        for route in routes {
            for host in &route.hosts {
                let at = *index.entry((host.clone(), route.path.clone(), route.exact)).or_insert_with(|| {
                    let (host, path) = (host.clone(), route.path.clone());
                    all.push(RouteGroup { host, path, exact: route.exact, routes: Vec::new() });
                    all.len() - 1
                });
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

impl RouteTable {
    /// Returns the requirements of a request for `target` on `route`, besides the access of that route. `authority` is
    /// the request's own host and port.
    ///
    /// # Errors
    /// [`Refusal::OtherResource`], [`Refusal::TargetAmbiguous`], [`Refusal::RequestInvalid`] for a malformed `Destination`.
    pub fn resources(
        &self,
        (host, authority): (&str, &str),
        target: &Target<'_>,
        (method, headers): (&Method, &HeaderMap),
        route: &Arc<Route>,
    ) -> Result<Resources, Refusal> {
        let has_destination = named::has_destination(method);
        if !self.index.differ && !has_destination {
            return Ok(Resources::default());
        }
        let mut needs = Requirements { search: self.search(host), route, also: Vec::new() };
        needs.add_other_names(route, target, method)?;
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(Resources { also: needs.also, destination: None });
        }
        let (copy, moved) = ([method.clone(), Method::GET], [method.clone(), Method::DELETE]);
        let (allowed, implied): (&[Method], &[Method]) = match &*named::name(method) {
            "COPY" => (&copy, &[]),
            "MOVE" => (&moved, &copy[1..]),
            _ => (&copy[..1], &[]),
        };
        for method in allowed.iter().chain(implied).skip(1) {
            needs.implied(target, method);
        }
        needs.members((target, route), named::reach(method, headers), allowed, implied)?;
        if (named::names_in_body(method) && !route.methods.contains(method)) || named::has_source(headers) {
            needs.add_all();
        }
        let mut destination = None;
        if has_destination && let Some(named) = named::destination(headers, (host, authority))? {
            destination = Some(needs.destination(named, (method, headers))?);
        }
        Ok(Resources { also: needs.also, destination })
    }
}

/// Collects the requirements of one request.
struct Requirements<'t> {
    search: Search<'t>,
    /// The request's own route.
    route: &'t Arc<Route>,
    also: Vec<RequiredRoute>,
}

impl Requirements<'_> {
    /// Adds a route, unless access to the request's own route implies access to it.
    fn push(&mut self, route: &Arc<Route>, reason: Reason) {
        let is_covered = Arc::ptr_eq(route, self.route)
            || implies_access(self.route, route)
            || self.also.iter().any(|known| Arc::ptr_eq(&known.route, route));
        if !is_covered {
            self.also.push(RequiredRoute { route: Arc::clone(route), reason });
        }
    }

    /// Adds the routes for other names of `target`: the path without the prefix of `route`, and the paths it resembles.
    fn add_other_names(
        &mut self,
        route: &Arc<Route>,
        target: &Target<'_>,
        method: &Method,
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if !table.index.differ {
            return Ok(());
        }
        if let Some(rest) = route.stripped(target.raw().as_bytes()) {
            let rest = Target::read(if rest.is_empty() { b"/" } else { rest });
            let rest = rest.map_err(|_| Refusal::TargetAmbiguous)?;
            let others = table.index.remainders.get(&route.name).map(Vec::as_slice).unwrap_or_default();
            let hosts: Vec<&str> =
                [self.search.host].into_iter().chain(others.iter().map(String::as_str)).collect();
            for host in hosts {
                let mut search = table.search(host);
                for reading in rest.readings() {
                    self.add_stripped(&mut search, reading, method)?;
                }
            }
        }
        for reading in target.readings() {
            self.add_resembled(reading, method);
        }
        Ok(())
    }

    /// Adds the routes for one reading of a stripped path.
    fn add_stripped(
        &mut self,
        search: &mut Search<'_>,
        reading: &str,
        method: &Method,
    ) -> Result<(), Refusal> {
        for case in [Case::Kept, Case::Folded] {
            let Some(Matched::Routes(routes)) = search.match_reading(reading, case) else { continue };
            if !routes.iter().any(|route| route.upstream == self.route.upstream) {
                continue;
            }
            let there = by_method(routes, method).map_err(|_| METHOD_REFUSED)?;
            if there.upstream == self.route.upstream {
                self.push(there, Reason::Target);
            }
        }
        Ok(())
    }

    /// Adds the routes that one reading resembles.
    fn add_resembled(&mut self, reading: &str, method: &Method) {
        let names = lookalike::without_script(reading);
        for name in &names {
            for case in [Case::Kept, Case::Folded] {
                if let Some(Matched::Routes(routes)) = self.search.match_reading(name, case)
                    && let Ok(route) = by_method(routes, method)
                    && route.upstream == self.route.upstream
                {
                    self.push(route, Reason::Target);
                }
            }
        }
        let table = self.search.table;
        if !table.index.siblings {
            return;
        }
        for group in &table.index.all {
            let Ok(route) = by_method(&group.routes, method) else { continue };
            let is_strict = self.route.strict_siblings || route.strict_siblings;
            let resembles = |name: &str| lookalike::resembles(name, &group.path, group.exact);
            if is_strict
                && route.upstream == self.route.upstream
                && (resembles(reading) || names.iter().any(|name| resembles(name)))
                && self.is_reachable(group)
            {
                self.push(route, Reason::Target);
            }
        }
    }

    /// Adds the route of the same target for another method, if there is one.
    fn implied(&mut self, target: &Target<'_>, method: &Method) {
        if let Some(Matched::Routes(routes)) = self.search.match_reading(target.raw(), Case::Kept)
            && let Ok(route) = by_method(routes, method)
        {
            self.push(route, Reason::Target);
        }
    }

    /// Adds the routes of the members below `target` on `route`. For each member at least one of the `allowed` methods
    /// must be allowed; `implied` methods may be.
    fn members(
        &mut self,
        (target, route): (&Target<'_>, &Route),
        reach: Reach,
        allowed: &[Method],
        implied: &[Method],
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if reach == Reach::Itself || !table.index.differ {
            return Ok(());
        }
        let rest = route.stripped(target.raw().as_bytes());
        let rest = rest.map(|rest| Target::read(if rest.is_empty() { b"/" } else { rest }));
        let rest = rest.transpose().map_err(|_| Refusal::TargetAmbiguous)?;
        for group in &table.index.all {
            let below = |reading: &str| reach.covers(reading, &group.path);
            let is_member = target.readings().any(below) || rest.iter().flat_map(Target::readings).any(below);
            let is_of_app = group.routes.iter().any(|route| route.upstream == self.route.upstream);
            if !is_member || !is_of_app || !self.is_reachable(group) {
                continue;
            }
            let mut is_allowed = false;
            for method in allowed {
                if let Ok(route) = by_method(&group.routes, method) {
                    is_allowed = true;
                    self.push(route, Reason::Members);
                }
            }
            for method in implied {
                if let Ok(route) = by_method(&group.routes, method) {
                    self.push(route, Reason::Members);
                }
            }
            if !is_allowed {
                return Err(METHOD_REFUSED);
            }
        }
        Ok(())
    }

    /// Adds every route of the app.
    fn add_all(&mut self) {
        let table = self.search.table;
        for group in &table.index.all {
            if self.is_reachable(group) {
                for route in group.routes.iter().filter(|route| route.upstream == self.route.upstream) {
                    self.push(route, Reason::Anything);
                }
            }
        }
    }

    /// Checks the destination of COPY and MOVE, which may be overwritten (RFC 4918 section 9.8.4).
    fn destination(
        &mut self,
        named: named::Named<'_>,
        (method, headers): (&Method, &HeaderMap),
    ) -> Result<Destination, Refusal> {
        let target = Target::read(named.path.as_bytes()).map_err(|unreadable| match unreadable {
            Unreadable::Ambiguous => Refusal::TargetAmbiguous,
            Unreadable::TooLong => Refusal::RequestInvalid("Destination: too long".into()),
        })?;
        let route = match self.search.find(&target, method) {
            Ok(Match::Route(route)) if route.upstream == self.route.upstream => route,
            Err(Refusal::TargetAmbiguous) => return Err(Refusal::TargetAmbiguous),
            Ok(_) | Err(_) => return Err(DESTINATION_REFUSED),
        };
        self.push(&route, Reason::Target);
        self.implied(&target, &Method::PUT);
        if named::overwrites(headers) {
            self.implied(&target, &Method::DELETE);
        }
        self.add_other_names(&route, &target, method)?;
        let replaces = [method.clone(), Method::PUT];
        self.members((&target, &route), Reach::All, &replaces, &[Method::DELETE])?;
        let rest = route.stripped(named.path.as_bytes());
        let rest = rest.map(|rest| if rest.is_empty() { b"/" } else { rest });
        if rest.is_some_and(|rest| rest.starts_with(b"//")) {
            return Err(Refusal::TargetAmbiguous);
        }
        let rest = rest.and_then(|rest| std::str::from_utf8(rest).ok());
        Ok(Destination::new(&named, rest))
    }

    /// Returns whether a group is the match for its path on the request's host.
    fn is_reachable(&mut self, group: &RouteGroup) -> bool {
        match self.search.match_reading(&group.path, Case::Kept) {
            Some(Matched::Routes(routes)) => {
                routes.first().zip(group.routes.first()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
            }
            Some(Matched::Own) | None => false,
        }
    }
}

#[cfg(test)]
mod tests;
