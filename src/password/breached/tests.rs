//! The list of a range API. Requests and failures are tested over sockets in `tests/gateway/endpoints/passwords.rs`.

use proptest::prelude::*;

use super::*;

const A: &str = "0018A45C4D1DEF81644B54AB7F969B88D65";
const B: &str = "00D4F6E8FA6EECAD2A3AA415EEC418D38EC";

#[test]
fn list_is_searched_in_any_case_and_line_end() {
    for (list, expected) in [
        (format!("{A}:1\r\n{B}:2"), true),
        (format!("{B}:2\n{}:10\n", A.to_lowercase()), true),
        (format!("{A}:0\r\n{B}:2"), false),
        (format!("{B}:2\r\n"), false),
        (String::new(), false),
        ("\r\n\r\n".to_owned(), false),
    ] {
        assert_eq!(is_listed(list.as_bytes(), A), Ok(expected), "{list}");
    }
}

#[test]
fn other_text_is_malformed() {
    for list in [
        "<html></html>".to_owned(),
        format!("{A}:1\r\n{}", &B[..20]),
        A.to_owned(),
        format!("{A}:"),
        format!("{A}:x"),
        format!("{A}:-1"),
        format!("{A} 1"),
        format!("{A}1:1"),
        format!("{}g:1", &A[..34]),
        format!("{A}:1,{B}:2"),
        "\u{e9}".repeat(40),
    ] {
        assert!(matches!(is_listed(list.as_bytes(), A), Err(OutboundError::Malformed(_))), "{list}");
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let verdict = is_listed(&bytes, A);
        if !bytes.iter().all(u8::is_ascii) {
            prop_assert!(verdict.is_err());
        }
    }
}
