//! `[tokens.encrypted_claims]`: its forms, its messages, and its files.

use super::*;

/// Public key of RFC 7518, appendix C, as a JWK.
const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ","y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}"#;

/// Returns the setting of a table with these lines.
fn claims(lines: &str) -> EncryptedClaims {
    good(&format!("[tokens.encrypted_claims]\n{lines}")).tokens.encrypted_claims.unwrap()
}

fn bytes() -> [u8; 32] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

#[test]
fn key_is_a_shared_one_or_a_public_one() {
    let shared = EncryptedClaims {
        claims: vec![EncryptedClaim::Email, EncryptedClaim::Name],
        key: ClaimsKey::Shared(Secret::new(bytes())),
    };
    let names = "claims = [\"email\", \"name\"]\n";
    assert_eq!(claims(&format!("{names}key = \"{KEY}\"")), shared);
    assert_eq!(claims(&format!("{names}key_env = \"KEY\"")), shared);
    let inline =
        format!("[tokens]\nencrypted_claims = {{ claims = [\"email\", \"name\"], key = \"{KEY}\" }}");
    assert_eq!(good(&inline).tokens.encrypted_claims, Some(shared.clone()));
    let public = claims(&format!("claims = [\"login\"]\nrecipient_key = '{JWK}'"));
    assert_eq!(public.claims, [EncryptedClaim::Login]);
    let ClaimsKey::Recipient(key) = &public.key else { panic!("{public:?}") };
    assert_eq!((key.point()[0], key.id()), (4, None));
    assert_eq!(good("").tokens.encrypted_claims, None);

    let debug = format!("{shared:?}");
    assert!(!debug.contains(&KEY[..8]) && !debug.contains("1, 2, 3"), "{debug}");
}

#[test]
fn key_files_are_read_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("claims.key", &format!("{KEY}\n"));
    write("app.jwk", &format!("{JWK}\n"));
    for (line, name) in
        [("key_file = \"claims.key\"", "claims.key"), ("recipient_key_file = \"app.jwk\"", "app.jwk")]
    {
        let text = format!("[tokens.encrypted_claims]\nclaims = [\"email\"]\n{line}\n");
        write("gateway.toml", &text);
        let reading = Reading::of(&folder.path().join("gateway.toml"), &environment);
        let first = reading.config.unwrap();
        assert!(first.tokens.encrypted_claims.is_some());
        assert!(format!("{:?}", reading.sources).contains(name), "{:?}", reading.sources);
        write("claims.key", "__________________________________________8\n");
        write("app.jwk", &JWK.replace("\"kty\"", "\"kid\":\"next\",\"kty\""));
        let next = Config::load(&folder.path().join("gateway.toml"), &environment).unwrap();
        assert_ne!(next.tokens, first.tokens);
        let change = Change::between(&first, next.clone());
        assert_eq!((change.restart, change.config), (Vec::new(), next), "a reload applies it");
        write("claims.key", KEY);
        write("app.jwk", JWK);
    }
}

const CASES: &[(&str, &str)] = &[
    (
        "[tokens.encrypted_claims]",
        r#"1: tokens.encrypted_claims: no key: write a shared key into a file and name it in key_file, or name the public key of the app in recipient_key_file|1: tokens.encrypted_claims.claims: missing: name the attributes, such as claims = ["email", "name"]"#,
    ),
    (
        r#"[tokens]|encrypted_claims = ["email"]"#,
        r#"2: tokens.encrypted_claims: this is a list: write a table such as encrypted_claims = { claims = ["email"], key_file = "claims.key" }"#,
    ),
    (
        r#"[tokens.encrypted_claims]|claims = []|key_env = "KEY""#,
        r"2: tokens.encrypted_claims.claims: no attribute: name one, or remove [tokens.encrypted_claims]",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["phone", "email", "email", "roles", "email_verified", 1]|key_env = "KEY""#,
        r#"2: tokens.encrypted_claims.claims[0]: "phone" is no attribute of a user: write "login", "email" or "name"|2: tokens.encrypted_claims.claims[2]: "email" is listed twice: remove one|2: tokens.encrypted_claims.claims[3]: "roles" is in every access token, where everybody can read it: remove it|2: tokens.encrypted_claims.claims[4]: "email_verified" comes with "email": remove it|2: tokens.encrypted_claims.claims[5]: this is an integer: write a string in quotes"#,
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|key_flie = "claims.key""#,
        r#"1: tokens.encrypted_claims: no key: write a shared key into a file and name it in key_file, or name the public key of the app in recipient_key_file|3: tokens.encrypted_claims.key_flie: unknown key (did you mean "key_file"?)"#,
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|key = "hunter2""#,
        r"3: tokens.encrypted_claims.key: this is not a shared key: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|key_env = "SHORT""#,
        r"3: tokens.encrypted_claims.key_env: in the environment variable: this is not a shared key: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|key_file = "none.key""#,
        r"3: tokens.encrypted_claims.key_file: `none.key` cannot be read: No such file or directory (os error 2); write the shared key into it",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|key_env = "KEY"|key_file = "claims.key""#,
        r"4: tokens.encrypted_claims.key_file: given as `key_file` and `key_env`: keep exactly one",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|recipient_key_env = "SHORT"|key_env = "KEY""#,
        r"3: tokens.encrypted_claims.recipient_key_env: in the environment variable: this is not a public key: write one of the curve P-256 in PEM, with BEGIN PUBLIC KEY, or as a JWK (`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out app.pem` makes a private key, `openssl pkey -in app.pem -pubout` prints its public key)|3: tokens.encrypted_claims.recipient_key_env: given besides key_env: keep the shared key, or the public key of the app, not both",
    ),
    (
        r#"[tokens.encrypted_claims]|claims = ["email"]|recipient_key = "-----BEGIN PRIVATE KEY-----""#,
        r"3: tokens.encrypted_claims.recipient_key: this is a private key, which only the app may have: write its public key (`openssl pkey -in app.pem -pubout` prints it)",
    ),
    (
        r#"[vault]|master_key_env = "KEY"|[tokens.encrypted_claims]|claims = ["email"]|key_env = "KEY""#,
        r"5: tokens.encrypted_claims.key_env: this is the master key, which no app may have: it opens every secret of the vault; make another key",
    ),
];

#[test]
fn useless_settings_are_refused() {
    check_cases(CASES);
    for (_, expected) in CASES {
        assert!(!expected.contains("hunter2") && !expected.contains(&KEY[..8]), "{expected}");
    }
}

#[test]
fn file_of_the_master_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("master.key"), KEY).unwrap();
    let text = "[tokens.encrypted_claims]\nclaims = [\"email\"]\nkey_file = \"master.key\"\n";
    let problems = Config::parse(text, &folder.path().join("gateway.toml"), &environment).unwrap_err();
    assert!(problems.to_string().contains("this is the master key"), "{problems}");
    let other = format!("[vault]\nmaster_key_file = \"other.key\"\n{text}");
    assert!(Config::parse(&other, &folder.path().join("gateway.toml"), &environment).is_ok());
}
