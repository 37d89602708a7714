//! N20: only a signed response is an assertion, a registration is that of its own credential, and parsing never panics.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use doorward::factor::passkey::{
    AssertionResponse, Ceremony, Challenge, Identification, NewPasskey, PasskeyError, RegistrationResponse,
    RelyingParty, StoredPasskey, UserVerification,
};
use doorward::id::base64url;
use libfuzzer_sys::fuzz_target;

/// A vector of the specification.
struct World {
    relying_party: RelyingParty,
    fields: HashMap<&'static str, Vec<u8>>,
    passkey: NewPasskey,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let vectors = include_str!("../../src/factor/passkey/tests/vectors.txt");
    let (_, vector) = vectors.split_once("[none-es256]\n").expect("the vector");
    let (vector, _) = vector.split_once("\n\n").expect("another one");
    let byte = |hex: &str, at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    let field = |line: &'static str| {
        let (name, hex) = line.split_once(" = ").expect("a field");
        (name, (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect())
    };
    let fields: HashMap<_, Vec<u8>> = vector.lines().map(field).collect();
    let relying_party = RelyingParty::of_origins(&["https://example.org".to_owned()]).expect("an origin");
    let good = registration(&fields["create.clientDataJSON"], &fields["create.authenticatorData"], &fields);
    let passkey = create(&good, &relying_party, &fields).expect("a registration");
    World { relying_party, fields, passkey }
});

fn json(id: &[u8], response: &str) -> String {
    let id = base64url(id);
    format!(r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{{response}}}}}"#)
}

fn registration(client_data: &[u8], data: &[u8], fields: &HashMap<&str, Vec<u8>>) -> String {
    let (client_data, data) = (base64url(client_data), base64url(data));
    let response = format!(r#""clientDataJSON":"{client_data}","authenticatorData":"{data}""#);
    json(&fields["credential_id"], &response)
}

fn create(
    json: &str,
    relying_party: &RelyingParty,
    fields: &HashMap<&str, Vec<u8>>,
) -> Result<NewPasskey, PasskeyError> {
    let challenge = Challenge::from_bytes(&fields["create.challenge"]).expect("32 bytes");
    let user_verification = UserVerification::Preferred;
    let ceremony = Ceremony { relying_party, challenge: &challenge, user_verification };
    ceremony.verify_registration(&RegistrationResponse::parse(json.as_bytes())?)
}

fn get(client_data: &[u8], data: &[u8], signature: &[u8], world: &World) -> bool {
    let (client_data, data) = (base64url(client_data), base64url(data));
    let response = format!(
        r#""clientDataJSON":"{client_data}","authenticatorData":"{data}","signature":"{}""#,
        base64url(signature)
    );
    let challenge = Challenge::from_bytes(&world.fields["get.challenge"]).expect("32 bytes");
    let user_verification = UserVerification::Preferred;
    let ceremony = Ceremony { relying_party: &world.relying_party, challenge: &challenge, user_verification };
    let stored = StoredPasskey {
        credential_id: &world.passkey.credential_id,
        user_handle: b"",
        public_key: &world.passkey.public_key,
        algorithm: world.passkey.algorithm.id(),
        sign_count: 0,
        backup_eligible: world.passkey.backup_eligible,
    };
    let json = json(stored.credential_id, &response);
    AssertionResponse::parse(json.as_bytes())
        .is_ok_and(|response| ceremony.verify_assertion(&stored, Identification::Before, &response).is_ok())
}

/// `good` with a few bytes changed according to the input: random data alone never passes the first check.
fn bent(good: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bent = good.to_vec();
    for change in changes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bent.len();
        bent[at] = change[2];
    }
    bent
}

fuzz_target!(|input: &[u8]| {
    let world = &*WORLD;
    let _ = RegistrationResponse::parse(input);
    let _ = AssertionResponse::parse(input);

    let field = |name| &world.fields[name];
    let (client_data, data) = (field("create.clientDataJSON"), field("create.authenticatorData"));
    // The relying party, and then any flags, keys and extensions.
    let after_hash = [&data[..32], input].concat();
    // The credential of the vector, and then any key and extensions.
    let after_id = [&data[..87], input].concat();
    for data in [&after_hash, &after_id, &bent(data, input)] {
        let json = registration(client_data, data, &world.fields);
        if let Ok(passkey) = create(&json, &world.relying_party, &world.fields) {
            assert_eq!(passkey.credential_id, world.passkey.credential_id);
            assert_eq!(data[..32], field("create.authenticatorData")[..32]);
            assert_eq!(data[32] & 0x41, 0x41, "present, with a credential");
        }
    }
    let _ = create(
        &registration(&bent(client_data, input), data, &world.fields),
        &world.relying_party,
        &world.fields,
    );

    let good = ["get.clientDataJSON", "get.authenticatorData", "get.signature"].map(field);
    for at in 0..3 {
        for changed in [input.to_vec(), bent(good[at], input)] {
            let mut parts = good;
            parts[at] = &changed;
            assert_eq!(get(parts[0], parts[1], parts[2], world), changed == *good[at], "{at} {changed:x?}");
        }
    }
});
