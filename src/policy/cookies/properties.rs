//! Property tests for every `Cookie` header: the gateway's cookies are removed, everything else is untouched.

use proptest::prelude::*;

use super::*;

/// A cookie as clients may write it, and whether its name is the gateway's without regard to case.
fn cookie() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let name = "(__Host-|__Secure-)doorward-[a-z]{0,8}";
    let own = (name, any::<u16>(), "[ \t]{0,2}", prop::option::of("[!-:<-~]{0,12}"), "[ \t]{0,2}");
    let own = own.prop_map(|(name, capitals, before, value, after)| {
        let turned = |(at, c): (usize, char)| {
            if capitals >> (at % 16) & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
        };
        let name: String = name.chars().enumerate().map(turned).collect();
        (
            format!("{before}{name}{after}{}", value.map_or_else(String::new, |value| format!("={value}")))
                .into_bytes(),
            true,
        )
    });
    let near = "(_Host-doorward-access|__Hostdoorward-|__Host_doorward-access|x__Host-doorward-access|doorward-access)=[a-z]{0,4}";
    let other = prop_oneof![
        near.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>().prop_filter("part", |byte| *byte != b';'), 0..20),
        "[a-z]{1,6}=__Host-doorward-access=[a-z]{0,4}".prop_map(String::into_bytes),
    ];
    prop_oneof![own, other.prop_map(|piece| (piece, false))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn own_cookies_are_removed_and_others_stay_unchanged(
        fields in prop::collection::vec(prop::collection::vec(cookie(), 0..5), 0..4),
    ) {
        let sent: Vec<Vec<u8>> = fields
            .iter()
            .map(|field| field.iter().map(|(piece, _)| piece.as_slice()).collect::<Vec<_>>().join(&b';'))
            .collect();
        let kept: Vec<&[u8]> = fields
            .iter()
            .flatten()
            .filter(|(_, is_own)| !is_own)
            .map(|(piece, _)| piece.trim_ascii())
            .filter(|piece| !piece.is_empty())
            .collect();
        let left = without_own_cookies(sent.iter().map(Vec::as_slice));
        prop_assert_eq!(left.clone().unwrap_or_default(), kept.join(&b"; "[..]));
        prop_assert_eq!(left.is_none(), kept.is_empty());
        for name in [HOST.access, HOST.refresh, HOST.visit, SHARED.access, SHARED.refresh, SHARED.visit, SHARED.device] {
            prop_assert_eq!(find(left.iter().map(Vec::as_slice), name), Found::None);
        }
    }

    #[test]
    fn cookie_is_found_only_if_it_is_unique(
        mut others in prop::collection::vec(cookie().prop_filter("others", |(_, is_own)| !is_own), 0..6),
        at in any::<prop::sample::Index>(),
        value in "[!#-+\\--:<-\\[\\]-~]{1,60}",
        again in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let own = format!("{}={value}", HOST.access).into_bytes();
        others.insert(at.index(others.len() + 1), (own.clone(), true));
        if let Some(at) = again {
            others.insert(at.index(others.len() + 1), (own, true));
        }
        let field = others.iter().map(|(piece, _)| piece.as_slice()).collect::<Vec<_>>().join(&b"; "[..]);
        let expected = if again.is_some() { Found::Several } else { Found::One(value.as_str()) };
        prop_assert_eq!(find(std::iter::once(field.as_slice()), HOST.access), expected);
    }

    #[test]
    fn app_cannot_set_own_cookies_with_any_bytes(
        (piece, is_own) in cookie(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        prop_assert!(!is_own || sets_own_cookie(&piece));
        prop_assert!(!is_own || sets_own_cookie(&[b"=", &piece[..], b"; Path=/"].concat()));
        let _ = (sets_own_cookie(&bytes), find(std::iter::once(bytes.as_slice()), HOST.access));
    }
}
