//! The routes of one host pattern, as a tree of path segments.
//!
//! A search walks the tree along the path, from the root. It reads each byte at most once, and no segment beyond the longest
//! that a route has: so its cost is bounded by the configuration, whatever a client sends.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Route;

/// How letter case is compared: most servers tell cases apart, some do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Kept,
    Folded,
}

/// Routes by path; each path has the routes that share it with different methods.
#[derive(Debug, Default)]
pub(super) struct Paths {
    kept: Node,
    folded: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    /// Length of the longest name among the children, in bytes.
    longest: usize,
    /// Routes for this path only.
    exact: Vec<Arc<Route>>,
    /// Routes for this path and all below it.
    prefix: Vec<Arc<Route>>,
}

impl Paths {
    /// Adds a route under its path.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        self.kept.insert(&route.path, route);
        self.folded.insert(&route.path.to_ascii_lowercase(), route);
    }

    /// Returns the routes of an exact path, else those of the longest prefix that ends where a segment ends. Adds the number
    /// of bytes that were compared to `read`.
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
        let some = |routes: &'_ Vec<Arc<Route>>| !routes.is_empty();
        if path == "/" && some(&self.exact) {
            return Some(&self.exact);
        }
        let mut found = some(&self.prefix).then_some(&*self.prefix);
        let mut node = self;
        let mut rest = path.strip_prefix('/');
        while let Some(here) = rest {
            if node.children.is_empty() {
                break;
            }
            // What is longer than every child is none of them, and is not read to its end.
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
            if rest.is_none() && some(&node.exact) {
                return Some(&node.exact);
            }
            if some(&node.prefix) {
                found = Some(&node.prefix);
            }
        }
        found
    }
}
