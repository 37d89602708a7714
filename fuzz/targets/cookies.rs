//! T06, T07: forwarded cookies contain no gateway cookie, and app cookies are unchanged.
#![no_main]

use doorward::policy::cookies::{Found, HOST, SHARED, find, sets_own_cookie, without_own_cookies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A NUL cannot be in a field: here it separates two.
    let fields = || data.split(|&b| b == 0);
    let left = without_own_cookies(fields());
    if let Some(left) = &left {
        let lower = left.to_ascii_lowercase();
        for name in [HOST.access, HOST.refresh, HOST.visit, SHARED.access, SHARED.refresh, SHARED.visit] {
            assert_eq!(find(std::iter::once(left.as_slice()), name), Found::None);
            let ours = name.to_ascii_lowercase();
            let begins = |piece: &[u8]| {
                piece.trim_ascii().strip_prefix(ours.as_bytes()).is_some_and(|rest| {
                    let rest = rest.trim_ascii();
                    rest.is_empty() || rest[0] == b'='
                })
            };
            assert!(!lower.split(|&b| b == b';').any(begins));
        }
        assert_eq!(without_own_cookies(std::iter::once(left.as_slice())).as_ref(), Some(left), "twice is once");
    }
    for field in fields() {
        let _ = sets_own_cookie(field);
        assert!(sets_own_cookie(&[b"__host-DOORWARD-access=", field].concat()));
    }
});
