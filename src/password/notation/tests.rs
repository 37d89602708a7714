//! Hashes that other programs made, each with a low cost.

use std::sync::Arc;

use super::super::argon::{Match, Workspace};
use super::super::{Password, Peppers, read_keycloak_hash};
use super::*;
use crate::metrics::HashKind;

/// Password of every hash below.
const PASSWORD: &str = "violet kettle harbour l\u{e4}ntern";

/// Made by Django 5.2.19, libpass 1.9.4, argon2-cffi 25.1.0, bcrypt 5.0.0 of PyPI and htpasswd of Apache 2.4.71, with the start of
/// the text in the vault.
const HASHES: &[(&str, HashKind, &str)] = &[
    (
        "pbkdf2_sha256$1000$J7YEnADDdQN6BsIiECMD6d$Lhd42ffudFLVqIK+Ehj/IWDLLCfnAgNSh9cEKbCZI+0=",
        HashKind::Pbkdf2,
        "$pbkdf2-sha256$i=1000,l=32$",
    ),
    (
        "pbkdf2_sha1$1000$rZim8yNaKfccytlBmrj5Lo$U4X4AH3jaCaZPIALfcOXwyXJJl4=",
        HashKind::Pbkdf2,
        "$pbkdf2-sha1$i=1000,l=20$",
    ),
    (
        "argon2$argon2id$v=19$m=1024,t=2,p=2$YnZadWtSdk04akF5YkY1M21iR05uNw$IgKAmDAb4f8w7ZWI6xY81p+DTEGdhXzCGwKvh+/oPcY",
        HashKind::Argon2id,
        "$argon2id$v=19$m=1024,t=2,p=2$",
    ),
    (
        "bcrypt_sha256$$2b$04$xIgkQGf3p6Jzf82qicsV.uZ53866xvcpoQxzSU.51MIHLoOetxLrS",
        HashKind::Bcrypt,
        "bcrypt_sha256$$2b$04$",
    ),
    (
        "bcrypt$$2b$04$X6xXHwJT5Kab3/9/3HKo3O/CIsZqTBvdIYD3R.w6DDvnEjE..x7zW",
        HashKind::Bcrypt,
        "$2b$04$X6xXHwJT5Kab3/9/3HKo3O/CIsZqTBvdIYD3R.w6DDvnEjE..x7zW",
    ),
    (
        "scrypt$1024$geK6d5V9fNFqq6xLFXCZJG$8$5$98sneRdL4dxy0FLBuE1l+nvGHbBnBsA9FPiWU8FulYHM6YcZ/9LsM9Xeqw8GDh10wlVpd7RkOZVEBhp1yRRVig==",
        HashKind::Scrypt,
        "$scrypt$ln=10,r=8,p=5$",
    ),
    (
        "$pbkdf2$1000$BMC4F0LIOUeoVUppTYnRmg$gTmndgL4gzGv5Rh547PEyhwg9PU",
        HashKind::Pbkdf2,
        "$pbkdf2-sha1$i=1000,l=20$",
    ),
    (
        "$pbkdf2-sha256$1000$yZnTmnOO8X6v1fqfk5LSmg$UqXvUrA6fTqJnpS0x.njE4nPECWKxGkromDWl3J50Gg",
        HashKind::Pbkdf2,
        "$pbkdf2-sha256$i=1000,l=32$",
    ),
    (
        "$pbkdf2-sha512$1000$ttYao3TOGaO0du4957zXWg$PNvNKp6QdnRTiOcFP7J6ysWZuduQ5Y2XWs6cuA93FhG8W32JARP7m.MBptuxYO0v97qerSg0AHoRHwIchIvSUg",
        HashKind::Pbkdf2,
        "$pbkdf2-sha512$i=1000,l=64$",
    ),
    (
        "$scrypt$ln=10,r=8,p=1$2rs3JqQU4vzfOwdgjLF2rg$Fy+lolA+v/mbQRz0p2kWAEXMPNijTsOj6VU0AfBSNig",
        HashKind::Scrypt,
        "$scrypt$ln=10,r=8,p=1$2rs3JqQU4vzfOwdgjLF2rg$Fy+lolA+v/mbQRz0p2kWAEXMPNijTsOj6VU0AfBSNig",
    ),
    (
        "$bcrypt-sha256$v=2,t=2b,r=4$uFnA.U4Haa5CAF7/5zL/5u$BU2gI/1MYdokDCwjtaZyY7t/wE/19dG",
        HashKind::Bcrypt,
        "$bcrypt-sha256$v=2,t=2b,r=4$uFnA.U4Haa5CAF7/5zL/5u$BU2gI/1MYdokDCwjtaZyY7t/wE/19dG",
    ),
    (
        "$argon2i$v=19$m=256,t=2,p=2$/Ywl0iopZrDxbIJn/oCdnA$NM3MjzLNqdSMJOKpA9k5671HuiB4zP8OKY1fpsQg/6M",
        HashKind::Argon2i,
        "$argon2i$v=19$m=256,t=2,p=2$",
    ),
    (
        "$argon2d$v=19$m=256,t=2,p=2$Tf2ntvDri5CGXzUMyg2dGg$N2OXUIRrHuyGdBrI/xpxOY05QsGRXxKgcWEkCexqzHw",
        HashKind::Argon2d,
        "$argon2d$v=19$m=256,t=2,p=2$",
    ),
    (
        "$argon2id$v=16$m=256,t=2,p=1$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzLTHCjgzo101OObHmsP2B/4",
        HashKind::Argon2id,
        "$argon2id$v=16$m=256,t=2,p=1$",
    ),
    // Without a version it is the old one.
    (
        "$argon2id$m=256,t=2,p=1$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzLTHCjgzo101OObHmsP2B/4",
        HashKind::Argon2id,
        "$argon2id$v=16$m=256,t=2,p=1$",
    ),
    ("$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2", HashKind::Bcrypt, "$2b$04$"),
    ("$2a$04$1bOF51tB1xWpBeb35v6WnOGVUNL/umAAH4NYGABGhAYVUFsVuYRjK", HashKind::Bcrypt, "$2a$04$"),
    ("{CRYPT}$2y$05$dC4GYvErY6NAWQsIkTMA7.luWZP3kzbzk7JLPoGaWX6dj3kr33fBe", HashKind::Bcrypt, "$2y$05$"),
];

/// `credentialData` and `secretData`, computed as Keycloak does: 64 bytes of PBKDF2 whatever the algorithm.
const KEYCLOAK: &[(&str, &str, HashKind, &str)] = &[
    (
        r#"{"hashIterations":1000,"algorithm":"pbkdf2-sha256","additionalParameters":{}}"#,
        r#"{"value":"c73j1dGy65vr8lMNYO5lYy3sn1XrbuZZk548Ydq6uBaZlrQ+jcV8AJGs4yH0Fx8XmHioDyx4+swgumapxPlXEQ==","salt":"DydDi6eK2+U944EuCkSKvQ==","additionalParameters":{}}"#,
        HashKind::Pbkdf2,
        "$pbkdf2-sha256$i=1000,l=64$",
    ),
    (
        r#"{"hashIterations":1000,"algorithm":"pbkdf2-sha512"}"#,
        r#"{"value":"B9vPKCDC4ujJWmVg2V6ivDRL+N4t3qFIYkKKOrsvJ+Hqp3y/D1eavLzu0u+kSm9MdTCVoXmOM7L7Z5kWfo520w==","salt":"DydDi6eK2+U944EuCkSKvQ=="}"#,
        HashKind::Pbkdf2,
        "$pbkdf2-sha512$i=1000,l=64$",
    ),
    (
        r#"{"hashIterations":1000,"algorithm":"pbkdf2"}"#,
        r#"{"value":"b4PUmy0DgTonYjGSieMavD5kdiTZAj2d48LseasuXxhXtFDRQaTnfFhF1GFYR6cGdznacg0WlRnT5KQoclRWwA==","salt":"DydDi6eK2+U944EuCkSKvQ=="}"#,
        HashKind::Pbkdf2,
        "$pbkdf2-sha1$i=1000,l=64$",
    ),
    (
        r#"{"hashIterations":5,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["1024"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}"#,
        r#"{"value":"QZPrm5y5b9TORSgCGSCxESvxIXAw2ogU397hFs5VUGk=","salt":"DydDi6eK2+U944EuCkSKvQ==","additionalParameters":{}}"#,
        HashKind::Argon2id,
        "$argon2id$v=19$m=1024,t=5,p=1$",
    ),
];

fn verify(password: &str, stored: &str) -> Match {
    Workspace::new(Arc::default()).verify(&Password::new(password).unwrap(), stored, &Peppers::default())
}

/// The stored text verifies [`PASSWORD`] and no other, and reads as it was written.
fn check(hash: &StoredHash, kind: HashKind, start: &str) {
    let text = hash.to_text().expose().clone();
    assert!(text.starts_with(start), "{text}");
    assert_eq!(StoredHash::parse(&text).as_ref(), Ok(hash), "{text}");
    assert_eq!(hash.kind(), kind, "{text}");
    assert_eq!(verify(PASSWORD, &text), Match::Outdated(kind), "{text}");
    assert_eq!(verify("violet kettle harbour la\u{308}ntern", &text), Match::Outdated(kind), "{text}: NFC");
    for wrong in ["violet kettle harbour l\u{e4}nter", "violet kettle harbour lantern", ""] {
        assert_eq!(verify(wrong, &text), Match::No, "{text}");
    }
}

#[test]
fn hashes_of_other_programs_verify() {
    for (text, kind, start) in HASHES {
        let hash = read_hash(text).unwrap_or_else(|bad| panic!("{text}: {bad}"));
        check(&hash.expect("a password"), *kind, start);
    }
    for (data, secret, kind, start) in KEYCLOAK {
        let hash = read_keycloak_hash(data, secret).unwrap_or_else(|bad| panic!("{data}: {bad}"));
        check(&hash, *kind, start);
    }
}

#[test]
fn argon2id_with_the_current_parameters_is_kept() {
    let text =
        "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$6+EMbQxtMHUvJo2UOIYPZ5c2+0O+OjR5vUYRVe/NnHM";
    assert_eq!(read_hash(text).unwrap().unwrap().to_text().expose(), text);
    assert_eq!(verify(PASSWORD, text), Match::Yes);
}

#[test]
fn hash_of_the_bytes_as_typed_verifies_once_they_are_typed_so() {
    // Not NFC: a program without normalization hashed it.
    let typed = "violet kettle harbour la\u{308}ntern";
    let text = "pbkdf2_sha256$1000$J7YEnADDdQN6BsIiECMD6d$Lhd42ffudFLVqIK+Ehj/IWDLLCfnAgNSh9cEKbCZI+0=";
    let Ok(Some(StoredHash::Pbkdf2(hash))) = read_hash(text) else { panic!("a hash") };
    let digest = Secret::new(hash.digest(typed.as_bytes()).bytes.to_vec());
    let text = StoredHash::Pbkdf2(Pbkdf2Hash { digest, ..hash }).to_text();
    assert_eq!(verify(typed, text.expose()), Match::Outdated(HashKind::Pbkdf2));
    assert_eq!(verify(PASSWORD, text.expose()), Match::No);
}

#[test]
fn bcrypt_never_ignores_a_part_of_a_password() {
    // N27: 72 bytes of `x`.
    let text = "$2b$04$COcwkYT7lJBaLrNJBeLYGeEUS/lLYrGxnmEpzRn0M7PUMtEKChEhe";
    let longest = "x".repeat(72);
    assert_eq!(verify(&longest, text), Match::Outdated(HashKind::Bcrypt));
    assert_eq!(verify(&longest[1..], text), Match::No);
    for more in ["y", "\0", &longest] {
        assert_eq!(verify(&format!("{longest}{more}"), text), Match::TooLong);
    }
    // bcrypt repeats the password with its zero byte.
    let text = "$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2";
    assert_eq!(verify(&format!("{PASSWORD}\0{PASSWORD}"), text), Match::TooLong);
    assert_eq!(verify(&format!("{PASSWORD}\0x"), text), Match::TooLong);
    // A digest is hashed whole, however long the password is.
    let text = "bcrypt_sha256$$2b$04$xIgkQGf3p6Jzf82qicsV.uZ53866xvcpoQxzSU.51MIHLoOetxLrS";
    assert_eq!(verify(&format!("{PASSWORD}{longest}"), text), Match::No);
}

#[test]
fn absent_passwords_are_no_hashes() {
    let nothing = crate::password::unusable_hash(&crate::id::SystemRandom);
    for text in ["", "!OzForm4CUdz9eN5dJLwhsC6ZKOq04E6Pl7Z2ig42", "!", "*", nothing.expose()] {
        assert_eq!(read_hash(text), Ok(None), "{text}");
    }
}

#[test]
fn weak_and_unknown_hashes_are_refused_with_a_remedy() {
    for (text, says) in [
        (
            "$apr1$vcolfKwg$hGm/MQevpNbdQN.Sso8l2/",
            "apr1 (MD5) hashes are too weak to be kept: leave the hash empty",
        ),
        ("{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI=", "unsalted SHA-1 hashes are too weak"),
        ("iD6RLOhlG/VSI", "DES-crypt hashes are too weak"),
        ("$1$vcolfKwg$hGm/MQevpNbdQN.Sso8l2/", "MD5-crypt hashes are too weak"),
        ("sha1$abc$8f14e45fceea167a5a36dedd4bea2543", "SHA-1 hashes are too weak"),
        ("8f14e45fceea167a5a36dedd4bea2543", "unsalted hexadecimal hashes are too weak"),
        ("$2x$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2", "bcrypt 2x hashes are too weak"),
        (
            "$6$rounds=5000$abcdefgh$abcdefgh",
            "doorward does not verify SHA-512-crypt hashes: leave the hash empty",
        ),
        ("$y$j9T$abc$def", "doorward does not verify yescrypt hashes"),
        (
            "$bcrypt-sha256$2a,12$LrmaIX5x4TRtAwEfwJZa1.$2ehnw6LvuIUTM0iz4iz9hTxv21B6KFO",
            "bcrypt-sha256 of version 1",
        ),
        ("hunter2", "this is no hash that doorward can verify"),
        (
            "$argon2id$v=18$m=256,t=2,p=1$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzA",
            "its version is neither 16 nor 19",
        ),
        ("$argon2id$v=19$m=256,t=2,p=1$beva766c/a4B5dA5N6uaPQ", "it has no salt and digest"),
        ("$argon2id$v=19$m=256,t=2,p=1$c2hvcnQ$Ps2pFdwhLdQGsIfRRyeUzA", "its salt has not 8 to 64 bytes"),
        ("$argon2id$v=19$m=256,t=2,p=1$beva766c/a4B5dA5N6uaPQ$Ps2pFdwh", "its digest has not 16 to 64 bytes"),
        (
            "$argon2id$v=19$m=256,t=+2,p=1$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzA",
            "a parameter is no number",
        ),
        ("$2b$12$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC", "its digest is not 31 characters of base64"),
        ("$2b$12", "it is not $2b$, cost, $ and 53 characters"),
        ("$2b$03$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2", "its cost is below 4"),
        ("pbkdf2_sha256$0$J7YEnADDdQN6$Lhd42ffudFLVqIK+Ehj/IWDLLCfnAgNSh9cEKbCZI+0=", "it has no iterations"),
        ("pbkdf2_sha256$J7YEnADDdQN6", "it is not algorithm, iterations, salt and digest"),
        ("pbkdf2_sha224$1$J7YEnADDdQN6$Lhd42ffudFLVqIK+Ehj/IWDLLCfnAgNSh9cEKbCZI+0=", "this kind of PBKDF2"),
        ("scrypt$1000$geK6d5V9fNFqq6xLFXCZJG$8$5$98sneRdL4dxy0FLBuE1l+g==", "its N is no power of two"),
        (
            "$pbkdf2-sha256$i=1000,l=31$yZnTmnOO8X6v1fqfk5LSmg$UqXvUrA6fTqJnpS0x+njE4nPECWKxGkromDWl3J50Gg",
            "its length l",
        ),
    ] {
        let bad = read_hash(text).expect_err(text).to_string();
        assert!(bad.contains(says), "{text}: {bad}");
        assert!(bad.contains("`doorward user passwd`"), "{text}: {bad}");
    }
    let bad = |data: &str, secret: &str| read_keycloak_hash(data, secret).expect_err(data).to_string();
    assert!(bad("{}", "{}").contains("credentialData has no algorithm"));
    assert!(
        bad(r#"{"hashIterations":1,"algorithm":"md5"}"#, r#"{"value":"","salt":""}"#)
            .contains("this kind of Keycloak")
    );
    assert!(
        bad(r#"{"hashIterations":1,"algorithm":"argon2"}"#, r#"{"value":"","salt":""}"#)
            .contains("it has no memory")
    );
}

#[test]
fn costs_beyond_the_limits_are_refused_before_anything_is_computed() {
    let argon2 = |parameters: &str| {
        format!("$argon2id$v=19${parameters}$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzA")
    };
    let scrypt =
        |parameters: &str| format!("$scrypt${parameters}$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzA");
    let pbkdf2 =
        |parameters: &str| format!("$pbkdf2-sha1${parameters}$beva766c/a4B5dA5N6uaPQ$Ps2pFdwhLdQGsIfRRyeUzA");
    for good in [
        argon2("m=262144,t=4,p=16"),
        argon2("m=8,t=131072,p=1"),
        scrypt("ln=18,r=8,p=4"),
        scrypt("ln=15,r=8,p=1"),
        pbkdf2("i=4000000"),
    ] {
        assert!(StoredHash::parse(&good).is_ok(), "{good}");
    }
    for costly in [
        argon2("m=262145,t=1,p=1"),
        argon2("m=262144,t=5,p=1"),
        argon2("m=4294967295,t=4294967295,p=1"),
        argon2("m=262144,t=1,p=17"),
        argon2("m=8,t=131073,p=1"),
        scrypt("ln=19,r=8,p=1"),
        scrypt("ln=18,r=8,p=5"),
        scrypt("ln=200,r=8,p=1"),
        scrypt("ln=4294967295,r=8,p=1"),
        scrypt("ln=1,r=33,p=1"),
        scrypt("ln=1,r=8,p=17"),
        pbkdf2("i=4000001"),
        "$2b$15$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2".to_owned(),
        "$2b$31$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2".to_owned(),
    ] {
        let bad = StoredHash::parse(&costly).expect_err(&costly);
        assert!(
            bad.to_string().contains("costs too much to verify at a sign-in: at most"),
            "{costly}: {bad}"
        );
        // Even in the vault it is not computed: this returns at once.
        assert_eq!(verify(PASSWORD, &costly), Match::No);
    }
    // Two blocks of SHA-256.
    let digest = "A".repeat(86);
    let two = format!("$pbkdf2-sha256$i=2000001$beva766c/a4B5dA5N6uaPQ${digest}");
    assert!(matches!(StoredHash::parse(&two), Err(BadHash::TooCostly(..))));
    assert!(StoredHash::parse(&argon2("m=4294967296,t=1,p=1")).is_err());
    assert!(StoredHash::parse(&format!("$2b$12${}", "x".repeat(1 << 20))).is_err());
}

#[test]
fn damaged_text_is_refused_or_reads_as_what_it_says() {
    for (text, ..) in HASHES {
        for (at, character) in text.char_indices() {
            for with in ["", "$", ",", "=", "0", "-1", "9999999999", "\u{e4}", "A"] {
                let damaged = format!("{}{with}{}", &text[..at], &text[at + character.len_utf8()..]);
                if let Ok(Some(hash)) = read_hash(&damaged) {
                    assert_eq!(StoredHash::parse(hash.to_text().expose()), Ok(hash), "{damaged}");
                }
            }
        }
    }
}
