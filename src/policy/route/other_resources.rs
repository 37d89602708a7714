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
//! | short file names of NTFS | every route that they may stand for |

mod index;
mod lookalike;
mod named;
mod short_names;

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::paths::Case;
use super::{Match, Matched, RouteTable, Search, by_method, implies_access};
use crate::config::Route;
use crate::error::Refusal;
use crate::policy::target::{Target, Unreadable};
use index::RouteGroup;
use named::Reach;
use short_names::Position;

pub(super) use index::RouteIndex;
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
        let rest = needs.rest(route, target)?;
        needs.add_other_names((target, rest.as_ref()), route, method)?;
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
        needs.members((target, rest.as_ref()), named::reach(method, headers), allowed, implied)?;
        if (named::names_in_body(method) && !route.methods.contains(method))
            || named::has_source(method, headers)
        {
            needs.add_all();
        }
        let mut destination = None;
        if has_destination && let Some(named) = named::destination(headers, (host, authority))? {
            destination = Some(needs.destination(named, target, (method, headers))?);
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

    /// Returns the path without the prefix of `route`, if that route strips it and routes differ in access.
    fn rest<'p>(&self, route: &Route, target: &Target<'p>) -> Result<Option<Target<'p>>, Refusal> {
        if !self.search.table.index.differ {
            return Ok(None);
        }
        let rest = route.stripped(target.raw().as_bytes());
        let rest = rest.map(|rest| Target::read(if rest.is_empty() { b"/" } else { rest }));
        rest.transpose().map_err(|_| Refusal::TargetAmbiguous)
    }

    /// Adds the routes for other names of `target` on `route`: the path without the prefix, and the paths both resemble.
    fn add_other_names(
        &mut self,
        (target, rest): (&Target<'_>, Option<&Target<'_>>),
        route: &Route,
        method: &Method,
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if !table.index.differ {
            return Ok(());
        }
        if let Some(rest) = rest {
            let others = table.index.remainders.get(&route.name).map(Vec::as_slice).unwrap_or_default();
            let hosts = [self.search.host].into_iter().chain(others.iter().map(String::as_str));
            let mut searches: Vec<Search<'_>> = hosts.map(|host| table.search(host)).collect();
            for reading in rest.readings() {
                for search in &mut searches {
                    self.add_matched(search, reading, method)?;
                }
                self.add_resembled(&mut searches, reading, method)?;
            }
        }
        let mut search = [table.search(self.search.host)];
        for reading in target.readings() {
            self.add_resembled(&mut search, reading, method)?;
        }
        Ok(())
    }

    /// Adds the routes for one other name, such as a reading of a stripped path.
    fn add_matched(
        &mut self,
        search: &mut Search<'_>,
        reading: &str,
        method: &Method,
    ) -> Result<(), Refusal> {
        for case in [Case::Kept, Case::Folded] {
            if let Some(Matched::Routes(routes)) = search.match_reading(reading, case) {
                self.add_by_method(routes, method)?;
            }
        }
        Ok(())
    }

    /// Adds the route for `method` of the routes of one path, if they belong to the same app.
    fn add_by_method(&mut self, routes: &[Arc<Route>], method: &Method) -> Result<(), Refusal> {
        if routes.iter().any(|route| route.upstream == self.route.upstream) {
            let there = by_method(routes, method).map_err(|_| METHOD_REFUSED)?;
            if there.upstream == self.route.upstream {
                self.push(there, Reason::Target);
            }
        }
        Ok(())
    }

    /// Adds the routes that one reading resembles, on the hosts of `searches`.
    fn add_resembled(
        &mut self,
        searches: &mut [Search<'_>],
        reading: &str,
        method: &Method,
    ) -> Result<(), Refusal> {
        let mut names = lookalike::without_script(reading);
        for name in &names {
            for search in &mut *searches {
                self.add_matched(search, name, method)?;
            }
        }
        let index = &self.search.table.index;
        let has_short_name = short_names::are_in(reading);
        if !index.siblings && !has_short_name {
            return Ok(());
        }
        names.push(reading.to_owned());
        for group in &index.all {
            let is_strict = self.route.strict_siblings || group.strict_siblings;
            let is_sibling = |name: &String| lookalike::resembles(name, &group.path, group.exact);
            if is_strict
                && names.iter().any(is_sibling)
                && let Ok(route) = by_method(&group.routes, method)
                && route.upstream == self.route.upstream
                && (self.route.strict_siblings || route.strict_siblings)
                && searches.iter_mut().any(|search| is_reachable(search, group))
            {
                self.push(route, Reason::Target);
            }
            let may_match = |name: &String| match short_names::position(name, &group.path) {
                Some(Position::Same) => true,
                Some(Position::Below) => !group.exact,
                Some(Position::Above) | None => false,
            };
            if has_short_name
                && names.iter().any(may_match)
                && searches.iter_mut().any(|search| is_reachable(search, group))
            {
                self.add_by_method(&group.routes, method)?;
            }
        }
        Ok(())
    }

    /// Adds the route of the same target for another method, if there is one.
    fn implied(&mut self, target: &Target<'_>, method: &Method) {
        if let Some(Matched::Routes(routes)) = self.search.match_reading(target.raw(), Case::Kept)
            && let Ok(route) = by_method(routes, method)
        {
            self.push(route, Reason::Target);
        }
    }

    /// Adds the routes of the members below `target`, and below the path without the prefix. For each member at least one of the `allowed` methods
    /// must be allowed; `implied` methods may be.
    fn members(
        &mut self,
        (target, rest): (&Target<'_>, Option<&Target<'_>>),
        reach: Reach,
        allowed: &[Method],
        implied: &[Method],
    ) -> Result<(), Refusal> {
        let table = self.search.table;
        if reach == Reach::Itself || !table.index.differ {
            return Ok(());
        }
        let readings = || target.readings().chain(rest.into_iter().flat_map(Target::readings));
        let scripts: Vec<String> = readings().flat_map(lookalike::without_script).collect();
        // No route lies below a path that is longer than every route.
        let bases: Vec<&str> = readings()
            .chain(scripts.iter().map(String::as_str))
            .map(|reading| reading.trim_end_matches('/'))
            .filter(|base| base.len() < table.index.longest)
            .collect();
        let short: Vec<&str> = bases.iter().copied().filter(|base| short_names::are_in(base)).collect();
        for group in &table.index.all {
            let is_above = |base: &&str| short_names::position(base, &group.path) == Some(Position::Above);
            let is_member =
                bases.iter().any(|base| reach.covers(base, &group.path)) || short.iter().any(is_above);
            let is_of_app = group.routes.iter().any(|route| route.upstream == self.route.upstream);
            if !is_member || !is_of_app || !is_reachable(&mut self.search, group) {
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
            if is_reachable(&mut self.search, group) {
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
        source: &Target<'_>,
        (method, headers): (&Method, &HeaderMap),
    ) -> Result<Destination, Refusal> {
        let target =
            Target::read_beside(named.path.as_bytes(), source).map_err(|unreadable| match unreadable {
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
        let rest = self.rest(&route, &target)?;
        self.add_other_names((&target, rest.as_ref()), &route, method)?;
        let replaces = [method.clone(), Method::PUT];
        self.members((&target, rest.as_ref()), Reach::All, &replaces, &[Method::DELETE])?;
        let rest = route.stripped(named.path.as_bytes());
        let rest = rest.map(|rest| if rest.is_empty() { b"/" } else { rest });
        if rest.is_some_and(|rest| rest.starts_with(b"//")) {
            return Err(Refusal::TargetAmbiguous);
        }
        let rest = rest.and_then(|rest| std::str::from_utf8(rest).ok());
        Ok(Destination::new(&named, rest))
    }
}

/// Returns whether a group is the match for its path on the host of `search`.
fn is_reachable(search: &mut Search<'_>, group: &RouteGroup) -> bool {
    match search.match_reading(&group.path, Case::Kept) {
        Some(Matched::Routes(routes)) => {
            routes.first().zip(group.routes.first()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        }
        Some(Matched::Own) | None => false,
    }
}

#[cfg(test)]
mod tests;
