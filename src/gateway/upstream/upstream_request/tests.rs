use std::path::Path;

use super::*;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::id::SystemRandom;
use crate::metrics::Metrics;
use crate::policy::decide;
use crate::snapshot::ProviderParts;

/// Returns the peer of a request to a server with this scheme.
fn peer_of(scheme: &str, version: Version, content_type: &str) -> HttpPeer {
    let text = format!(
        "[upstreams.app]\nservers = [\"{scheme}://127.0.0.1:9\"]\n[[routes]]\nname = \"app\"\npath = \"/\"\n\
         access = \"public\"\nupstream = \"app\"\n"
    );
    let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).expect("valid");
    let parts = ProviderParts::new(
        &|_| None,
        Arc::new(SystemClock::new()),
        Arc::new(SystemRandom),
        Arc::new(Metrics::new()),
    );
    let snapshot = Snapshot::new(&config, &parts, None).expect("compiled");
    let group = snapshot.upstreams.find("app").expect("configured");
    let candidate = group.attempts(&SystemClock::new()).next().expect("an address");
    let route = Arc::new(config.routes[0].clone());
    let permit = decide(&route, None, crate::clock::Timestamp::EPOCH).expect("public");
    let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
    request.set_version(version);
    request.append_header("content-type", content_type).expect("a field");
    peer(&Cleared::for_test(), &candidate, &permit, &request).expect("a peer")
}

#[test]
fn ping_interval_is_set_for_grpc_over_http2_only() {
    const GRPC: &str = "application/grpc+proto";
    for (scheme, version, content_type, is_pinged) in [
        ("h2c", Version::HTTP_2, GRPC, true),
        ("https", Version::HTTP_2, GRPC, true),
        // No HTTP/2 on one of the two sides.
        ("http", Version::HTTP_2, GRPC, false),
        ("h2c", Version::HTTP_11, GRPC, false),
        ("https", Version::HTTP_11, GRPC, false),
        // Requests with a timeout.
        ("h2c", Version::HTTP_2, "application/json", false),
        ("https", Version::HTTP_2, "application/grpc-web", false),
    ] {
        let peer = peer_of(scheme, version, content_type);
        let expected = is_pinged.then_some(Duration::from_secs(330));
        assert_eq!(peer.options.h2_ping_interval, expected, "{scheme} {version:?} {content_type}");
        // The interval belongs to the connection: one without PING frames is not reused for a gRPC call.
        let ordinary = peer_of(scheme, version, "text/plain");
        assert_eq!(
            peer.reuse_hash() == ordinary.reuse_hash(),
            !is_pinged,
            "{scheme} {version:?} {content_type}"
        );
    }
}

#[test]
fn http1_connection_is_not_reused_for_a_request_that_may_be_http2() {
    for (scheme, is_shared) in [("http", true), ("h2c", true), ("https", false)] {
        let hash = |version| peer_of(scheme, version, "text/plain").reuse_hash();
        assert_eq!(hash(Version::HTTP_11) == hash(Version::HTTP_2), is_shared, "{scheme}");
    }
}
