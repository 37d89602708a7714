//! Routes of a path for which no route was chosen: refusals before the choice need their CORS settings.

use std::sync::Arc;

use pingora::http::RequestHeader;

use crate::config::Route;
use crate::gateway::request::request_target::{authority_of, canonical, path_of};
use crate::snapshot::Snapshot;

/// Returns the routes of a request's host and path, whatever its method. For an ambiguous path these are the routes of the segments
/// before the ambiguity.
pub(crate) fn routes_of_path<'s>(request: &RequestHeader, snapshot: &'s Snapshot) -> &'s [Arc<Route>] {
    let host = authority_of(request).and_then(canonical);
    host.map_or(&[], |host| snapshot.routes.at(&host, plain_segments(path_of(request))))
}

/// The segments of a path before the first that has an escape, is a dot segment, or is empty.
fn plain_segments(path: &[u8]) -> &str {
    let is_plain = |segment: &&[u8]| {
        let is_dots = segment.iter().all(|&byte| byte == b'.');
        !is_dots && segment.iter().all(|&byte| byte.is_ascii_graphic() && !b"%\\;".contains(&byte))
    };
    let segments = path.strip_prefix(b"/").unwrap_or_default().split(|&byte| byte == b'/');
    let length = segments.take_while(is_plain).map(|segment| segment.len() + 1).sum::<usize>();
    path.get(..length)
        .filter(|path| !path.is_empty())
        .and_then(|path| str::from_utf8(path).ok())
        .unwrap_or("/")
}
