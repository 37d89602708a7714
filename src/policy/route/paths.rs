//! Routes of one host pattern, as a tree of path segments.
//!
//! A search walks the tree along the path, from the root. It reads each byte at most once, and no segment beyond the
//! longest one of a route. Its cost is therefore bounded by the configuration, not by the request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Route;

/// Comparison of letter case: most servers distinguish cases, some do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Kept,
    Folded,
}

/// Routes by path; the routes of one path differ by method.
#[derive(Debug, Default)]
pub(super) struct Paths {
    kept: Node,
    folded: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    /// Length of the longest child name, in bytes.
    longest: usize,
    /// Routes for this path only.
    exact: Vec<Arc<Route>>,
    /// Routes for this path and all paths below it.
    prefix: Vec<Arc<Route>>,
}

impl Paths {
    /// Adds a route under its path.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        self.kept.insert(&route.path, route);
        self.folded.insert(&route.path.to_ascii_lowercase(), route);
    }

    /// Returns the routes of an exact path, or those of the longest prefix of whole segments. Adds the number of
    /// compared bytes to `read`.
    pub(super) fn find(&self, path: &str, case: Case, read: &mut usize) -> Option<&[Arc<Route>]> {
        match case {
            Case::Kept => self.kept.find(path, case, read),
            Case::Folded => self.folded.find(path, case, read),
        }
    }
}

impl Node {
    fn insert(&mut self, path: &str, route: &Arc<Route>) {
        let mut node = self;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            node.longest = node.longest.max(segment.len());
            node = node.children.entry(segment.into()).or_default();
        }
        let routes = if route.exact { &mut node.exact } else { &mut node.prefix };
        routes.push(Arc::clone(route));
    }

    fn find(&self, path: &str, case: Case, read: &mut usize) -> Option<&[Arc<Route>]> {
        let has_routes = |routes: &'_ Vec<Arc<Route>>| !routes.is_empty();
        if path == "/" && has_routes(&self.exact) {
            return Some(&self.exact);
        }
        let mut found = has_routes(&self.prefix).then_some(&*self.prefix);
        let mut node = self;
        let mut rest = path.strip_prefix('/');
        while let Some(here) = rest {
            if node.children.is_empty() {
                break;
            }
            // A segment longer than every child matches none, so it is not read to its end.
            let window = &here.as_bytes()[..here.len().min(node.longest + 1)];
            let name = match window.iter().position(|&byte| byte == b'/') {
                Some(end) => {
                    rest = Some(&here[end + 1..]);
                    &here[..end]
                }
                None if here.len() <= node.longest => {
                    rest = None;
                    here
                }
                None => {
                    *read += window.len();
                    break;
                }
            };
            *read += name.len() + 1;
            let name = match case {
                Case::Folded if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    Cow::Owned(name.to_ascii_lowercase())
                }
                Case::Folded | Case::Kept => Cow::Borrowed(name),
            };
            let Some(child) = node.children.get(&*name) else { break };
            node = child;
            if rest.is_none() && has_routes(&node.exact) {
                return Some(&node.exact);
            }
            if has_routes(&node.prefix) {
                found = Some(&node.prefix);
            }
        }
        found
    }
}
