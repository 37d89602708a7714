//! Public key of the apps that open encrypted claims: P-256, in PEM or as a JWK, checked when the configuration is read.

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::id::from_base64url;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480 section 2): id-ecPublicKey, secp256r1, 66 bytes of BIT STRING.
const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// Maximum length of a key's own name, in bytes. Every token contains it: ids of key services fit, and no more.
const MAX_ID: usize = 128;

const HOW: &str = "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out app.pem` makes a private key, `openssl pkey \
                   -in app.pem -pubout` prints its public key";

/// A P-256 public key, a point of the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientKey {
    point: [u8; 65],
    id: Option<String>,
}

/// A JSON Web Key (RFC 7517), public or not.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    keys: Option<IgnoredAny>,
}

impl RecipientKey {
    /// Parses the text of a PEM file or a JWK.
    ///
    /// # Errors
    /// A message that says what to write instead. It quotes nothing: the text may be a private key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (point, id) = if text.starts_with('{') { from_jwk(text)? } else { (from_pem(text)?, None) };
        let point: [u8; 65] = point.try_into().map_err(|_| wrong())?;
        // 4: uncompressed.
        let is_on_curve = ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, point)).is_ok();
        if point[0] == 4 && is_on_curve { Ok(Self { point, id }) } else { Err(wrong()) }
    }

    /// Returns the point, uncompressed (SEC 1 section 2.3.3).
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// Returns the `kid` of a JWK that has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

fn from_pem(text: &str) -> Result<Vec<u8>, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err(
            "this is a private key, which only the app may have: write its public key (`openssl pkey -in app.pem -pubout` \
             prints it)"
                .to_owned(),
        );
    }
    if text.contains("BEGIN CERTIFICATE-----") {
        return Err("this is a certificate: write its public key (`openssl x509 -in app.crt -pubkey -noout` prints it)"
            .to_owned());
    }
    let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let (body, _) = body.ok_or_else(wrong)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| wrong())?;
    der.strip_prefix(P256).map(<[u8]>::to_vec).ok_or_else(other_kind)
}

fn from_jwk(text: &str) -> Result<(Vec<u8>, Option<String>), String> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| wrong())?;
    if jwk.keys.is_some() {
        return Err("this is a set of keys: write the JWK of one key, without \"keys\" around it".to_owned());
    }
    if jwk.k.is_some() || jwk.kty.as_deref() == Some("oct") {
        return Err("this is a shared key: write its member \"k\" into key_file instead".to_owned());
    }
    if jwk.d.is_some() {
        return Err(
            "this is a private key, which only the app may have: write its JWK without the private member \"d\"".to_owned()
        );
    }
    if jwk.kty.as_deref() != Some("EC") || jwk.crv.as_deref() != Some("P-256") {
        return Err(other_kind());
    }
    if jwk.usage.is_some_and(|usage| usage != "enc") || jwk.alg.is_some_and(|alg| alg != "ECDH-ES") {
        return Err(
            "this key has another purpose: write one with use \"enc\" and alg \"ECDH-ES\", or without both"
                .to_owned(),
        );
    }
    if jwk.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_ID) {
        return Err(format!("the \"kid\" of this key is not of 1 to {MAX_ID} bytes: write another, or none"));
    }
    let coordinate = |text: Option<String>| from_base64url(&text?).filter(|bytes| bytes.len() == 32);
    let (x, y) = coordinate(jwk.x).zip(coordinate(jwk.y)).ok_or_else(wrong)?;
    Ok(([&[4], x.as_slice(), y.as_slice()].concat(), jwk.kid))
}

fn wrong() -> String {
    format!(
        "this is not a public key: write one of the curve P-256 in PEM, with BEGIN PUBLIC KEY, or as a JWK ({HOW})"
    )
}

fn other_kind() -> String {
    format!("this public key is of another kind: write one of the curve P-256, uncompressed ({HOW})")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{ECDH_P384, PrivateKey};
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use serde_json::json;

    use super::*;
    use crate::id::base64url;

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn spki(key: &PrivateKey) -> String {
        let public = key.compute_public_key().unwrap();
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&public).unwrap();
        pem("PUBLIC KEY", der.as_ref())
    }

    #[test]
    fn pem_and_jwk_of_a_key_are_the_same_key() {
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let point = key.compute_public_key().unwrap().as_ref().to_vec();
        let read = RecipientKey::parse(&format!("# of the wiki\r\n{}", spki(&key))).unwrap();
        assert_eq!((&read.point()[..], read.id()), (&point[..], None));
        let [x, y] = [&point[1..33], &point[33..]].map(base64url);
        let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        assert_eq!(RecipientKey::parse(&jwk.to_string()).unwrap(), read);
        jwk["kid"] = json!("wiki-2026");
        jwk["use"] = json!("enc");
        jwk["alg"] = json!("ECDH-ES");
        let named = RecipientKey::parse(&format!("\n {jwk}\n")).unwrap();
        assert_eq!((named.point(), named.id()), (read.point(), Some("wiki-2026")));

        for (member, value, message) in [
            ("d", json!("hunter2"), "private key"),
            ("crv", json!("P-384"), "of another kind"),
            ("kty", json!("OKP"), "of another kind"),
            ("kty", json!(null), "of another kind"),
            ("k", json!("hunter2"), "shared key"),
            ("kty", json!("oct"), "shared key"),
            ("keys", json!([]), "set of keys"),
            ("use", json!("sig"), "another purpose"),
            ("alg", json!("ES256"), "another purpose"),
            ("kid", json!(""), "\"kid\""),
            ("kid", json!("x".repeat(129)), "\"kid\""),
            ("x", json!("hunter2"), "not a public key"),
            // A point beside the curve.
            ("x", json!(base64url([7; 32])), "not a public key"),
            ("y", json!(null), "not a public key"),
            ("y", json!(7), "not a public key"),
        ] {
            let mut bad = jwk.clone();
            bad[member] = value;
            let error = RecipientKey::parse(&bad.to_string()).unwrap_err();
            assert!(error.contains(message) && error.contains(": write "), "{bad}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn text_that_is_no_public_key_of_the_curve_is_refused() {
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let good = spki(&key);
        let (head, point) = (P256, [4_u8; 65]);
        for (text, message) in [
            (pem("PRIVATE KEY", private.as_ref()), "private key"),
            (pem("EC PRIVATE KEY", b"hunter2"), "private key"),
            (pem("CERTIFICATE", b"hunter2"), "certificate"),
            (spki(&PrivateKey::generate(&ECDH_P384).unwrap()), "of another kind"),
            (pem("PUBLIC KEY", b"hunter2"), "of another kind"),
            (pem("PUBLIC KEY", &[head, &point].concat()), "not a public key"),
            (pem("PUBLIC KEY", &[head, &point[1..]].concat()), "not a public key"),
            (pem("PUBLIC KEY", &[head, &[0]].concat()), "not a public key"),
            (good.replace(END, ""), "not a public key"),
            (good.replacen("MFk", "MF!", 1), "not a public key"),
            (String::new(), "not a public key"),
            ("hunter2".to_owned(), "not a public key"),
            ("{".to_owned(), "not a public key"),
            ("{\"kty\":\"EC\",\"kty\":\"EC\"}".to_owned(), "not a public key"),
        ] {
            let error = RecipientKey::parse(&text).unwrap_err();
            assert!(error.contains(message) && error.contains(": write "), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
