//! Resources that a request names or acts on beside its target, and the routes whose access it needs for them.
//!
//! | what | rule |
//! |---|---|
//! | `Destination` of COPY and MOVE (RFC 4918 section 10.3) | judged as a request of the same method, of PUT and of DELETE |
//! | the source of COPY and MOVE | judged as GET, that of MOVE as DELETE too |
//! | members of a collection (RFC 4918 sections 8.7, 9.6.1, 9.8.3, 9.9.2, 9.10.3) | every route below the path |
//! | fields and bodies that may name anything | every route of the same upstream |
//! | what `strip_prefix` leaves | looked up as the app sees it |
//! | other names of the same thing | the route that they resemble |

mod lookalike;
mod named;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::paths::Case;
use super::{Match, RouteTable, Search, Where, by_method, is_subdomain, suffices};
use crate::config::{HostPattern, Route};
use crate::error::Refusal;
use crate::policy::target::{Target, Unreadable};
use named::Reach;

pub use named::Destination;

/// What a request needs beside the access of its own route.
#[derive(Debug, Default, PartialEq)]
pub struct Resources {
    /// Routes whose access the caller needs too.
    pub also: Vec<Second>,
    /// The checked `Destination`, of COPY and MOVE.
    pub destination: Option<Destination>,
}

/// A route whose access a request needs beside that of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Second {
    /// The route.
    pub route: Arc<Route>,
    /// Why it is needed.
    pub why: Why,
}

/// Why a request needs the access of a second route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It names a resource there, or is one of there by another name: judged as a request for it.
    Target,
    /// It acts on the members of a collection, and some of them are there.
    Members,
    /// It may name any resource of the app.
    Anything,
}

impl Why {
    /// What to say to somebody who is signed in and has not the role for it.
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

/// Says that the `Destination` is not one that this gateway can judge.
const ELSEWHERE: Refusal =
    Refusal::OtherResource("Destination: not of the same app, or not open to this method");

/// Says that no route lets anybody do this to what the request acts on.
const CLOSED: Refusal = Refusal::OtherResource(
    "the method is not allowed for something that the request acts on: send it to a path below",
);

/// The routes by host pattern and path.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    /// Whether two routes of one upstream differ in who may use them, or by which method: else nothing here can matter.
    differ: bool,
    /// Whether any route asks that other names of the same thing be judged like it.
    siblings: bool,
    /// By name of a route that strips its prefix: a host for each host pattern it shares with a route that needs more.
    remainders: HashMap<String, Vec<String>>,
}

/// The routes that share a host pattern, a path and `exact`.
#[derive(Debug)]
struct Place {
    host: HostPattern,
    path: String,
    exact: bool,
    routes: Vec<Arc<Route>>,
}

impl Places {
    pub(super) fn new(routes: &[Arc<Route>]) -> Self {
        let mut all: Vec<Place> = Vec::new();
        let mut index: HashMap<(HostPattern, String, bool), usize> = HashMap::new();
        for route in routes {
            for host in &route.hosts {
                let at = *index.entry((host.clone(), route.path.clone(), route.exact)).or_insert_with(|| {
                    let (host, path) = (host.clone(), route.path.clone());
                    all.push(Place { host, path, exact: route.exact, routes: Vec::new() });
                    all.len() - 1
                });
                all[at].routes.push(Arc::clone(route));
            }
        }
        let needs_more = |one: &Route, other: &Route| {
            one.upstream == other.upstream && (!suffices(one, other) || !other.methods.is_empty())
        };
        let remainders = routes.iter().filter(|route| route.strip_prefix).map(|route| {
            let stricter = all.iter().filter(|place| {
                place.routes.iter().any(|other| needs_more(route, other))
                    && route.hosts.iter().any(|host| overlap(host, &place.host))
            });
            let mut hosts: Vec<String> = stricter.map(|place| some_host(&place.host)).collect();
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

/// Whether some host fits both.
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

/// A host that fits, and no narrower pattern. (No host of a request has a star.)
fn some_host(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(suffix) => format!("*.{suffix}"),
    }
}

impl RouteTable {
    /// Returns what a request for `target`, which `route` answers, needs beside the access of that route. `authority` is the
    /// request's own host and port.
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
        if !self.places.differ && !has_destination {
            return Ok(Resources::default());
        }
        let mut needs = Needs { search: self.search(host), route, also: Vec::new() };
        needs.under_other_names(route, target, method)?;
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
            needs.anything();
        }
        let mut destination = None;
        if has_destination && let Some(named) = named::destination(headers, (host, authority))? {
            destination = Some(needs.destination(named, (method, headers))?);
        }
        Ok(Resources { also: needs.also, destination })
    }
}

/// What one request needs, as it is found.
struct Needs<'t> {
    search: Search<'t>,
    /// The request's own route.
    route: &'t Arc<Route>,
    also: Vec<Second>,
}

impl Needs<'_> {
    /// Notes a route, unless whoever may use the request's own may use it too.
    fn push(&mut self, route: &Arc<Route>, why: Why) {
        let is_known = Arc::ptr_eq(route, self.route)
            || suffices(self.route, route)
            || self.also.iter().any(|known| Arc::ptr_eq(&known.route, route));
        if !is_known {
            self.also.push(Second { route: Arc::clone(route), why });
        }
    }

    /// What `target` is to the app: what is left of it without the prefix of `route`, and what it resembles.
    fn under_other_names(
        &mut self,
        route: &Arc<Route>,
        target: &Target<'_>,
        method: &Method,
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if !table.places.differ {
            return Ok(());
        }
        if let Some(rest) = route.stripped(target.raw().as_bytes()) {
            let rest = Target::read(if rest.is_empty() { b"/" } else { rest });
            let rest = rest.map_err(|_| Refusal::TargetAmbiguous)?;
            let others = table.places.remainders.get(&route.name).map(Vec::as_slice).unwrap_or_default();
            let hosts: Vec<&str> =
                [self.search.host].into_iter().chain(others.iter().map(String::as_str)).collect();
            for host in hosts {
                let mut search = table.search(host);
                for reading in rest.readings() {
                    self.left(&mut search, reading, method)?;
                }
            }
        }
        for reading in target.readings() {
            self.resembled(reading, method);
        }
        Ok(())
    }

    /// One reading of what is left without a prefix.
    fn left(&mut self, search: &mut Search<'_>, reading: &str, method: &Method) -> Result<(), Refusal> {
        for case in [Case::Kept, Case::Folded] {
            let Some(Where::Routes(routes)) = search.place(reading, case) else { continue };
            if !routes.iter().any(|route| route.upstream == self.route.upstream) {
                continue;
            }
            let there = by_method(routes, method).map_err(|_| CLOSED)?;
            if there.upstream == self.route.upstream {
                self.push(there, Why::Target);
            }
        }
        Ok(())
    }

    /// The routes that one reading resembles.
    fn resembled(&mut self, reading: &str, method: &Method) {
        let names = lookalike::without_script(reading);
        for name in &names {
            for case in [Case::Kept, Case::Folded] {
                if let Some(Where::Routes(routes)) = self.search.place(name, case)
                    && let Ok(route) = by_method(routes, method)
                    && route.upstream == self.route.upstream
                {
                    self.push(route, Why::Target);
                }
            }
        }
        let table = self.search.table;
        if !table.places.siblings {
            return;
        }
        for place in &table.places.all {
            let Ok(route) = by_method(&place.routes, method) else { continue };
            let is_asked = self.route.strict_siblings || route.strict_siblings;
            let resembles = |name: &str| lookalike::resembles(name, &place.path, place.exact);
            if is_asked
                && route.upstream == self.route.upstream
                && (resembles(reading) || names.iter().any(|name| resembles(name)))
                && self.is_in_force(place)
            {
                self.push(route, Why::Target);
            }
        }
    }

    /// The route that would answer the same target by another method, where one would.
    fn implied(&mut self, target: &Target<'_>, method: &Method) {
        if let Some(Where::Routes(routes)) = self.search.place(target.raw(), Case::Kept)
            && let Ok(route) = by_method(routes, method)
        {
            self.push(route, Why::Target);
        }
    }

    /// The routes of the members below `target`, which `route` answers: one of the methods `allowed` must be allowed for each,
    /// those `implied` may be.
    fn members(
        &mut self,
        (target, route): (&Target<'_>, &Route),
        reach: Reach,
        allowed: &[Method],
        implied: &[Method],
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if reach == Reach::Itself || !table.places.differ {
            return Ok(());
        }
        let rest = route.stripped(target.raw().as_bytes());
        let rest = rest.map(|rest| Target::read(if rest.is_empty() { b"/" } else { rest }));
        let rest = rest.transpose().map_err(|_| Refusal::TargetAmbiguous)?;
        for place in &table.places.all {
            let below = |reading: &str| reach.covers(reading, &place.path);
            let is_member = target.readings().any(below) || rest.iter().flat_map(Target::readings).any(below);
            let is_of_app = place.routes.iter().any(|route| route.upstream == self.route.upstream);
            if !is_member || !is_of_app || !self.is_in_force(place) {
                continue;
            }
            let mut is_allowed = false;
            for method in allowed {
                if let Ok(route) = by_method(&place.routes, method) {
                    is_allowed = true;
                    self.push(route, Why::Members);
                }
            }
            for method in implied {
                if let Ok(route) = by_method(&place.routes, method) {
                    self.push(route, Why::Members);
                }
            }
            if !is_allowed {
                return Err(CLOSED);
            }
        }
        Ok(())
    }

    /// Every route of the app.
    fn anything(&mut self) {
        let table = self.search.table;
        for place in &table.places.all {
            if self.is_in_force(place) {
                for route in place.routes.iter().filter(|route| route.upstream == self.route.upstream) {
                    self.push(route, Why::Anything);
                }
            }
        }
    }

    /// What COPY and MOVE write to, perhaps over what is there (RFC 4918 section 9.8.4).
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
            Ok(_) | Err(_) => return Err(ELSEWHERE),
        };
        self.push(&route, Why::Target);
        self.implied(&target, &Method::PUT);
        if named::overwrites(headers) {
            self.implied(&target, &Method::DELETE);
        }
        self.under_other_names(&route, &target, method)?;
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

    /// Whether a place is what answers for its path on the request's host.
    fn is_in_force(&mut self, place: &Place) -> bool {
        match self.search.place(&place.path, Case::Kept) {
            Some(Where::Routes(routes)) => {
                routes.first().zip(place.routes.first()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
            }
            Some(Where::Own) | None => false,
        }
    }
}

#[cfg(test)]
mod tests;
