//! A realm export of Keycloak: one JSON object with a list of users.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::BufReader;
use std::sync::Arc;

use anyhow::Context as _;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::DeserializeSeed};

use super::entry::{Emit, Entry, Item, Place};
use super::source::{Position, Source};
use crate::password::read_keycloak_hash;

/// A user of the export. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeycloakUser {
    #[serde(default)]
    username: String,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    first_name: Option<String>,
    last_name: Option<String>,
    enabled: Option<bool>,
    service_account_client_id: Option<String>,
    #[serde(default)]
    credentials: Vec<Credential>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    realm_roles: Vec<String>,
    #[serde(default)]
    client_roles: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    #[serde(default, rename = "type")]
    kind: String,
    credential_data: Option<String>,
    secret_data: Option<String>,
}

/// Reads all users.
///
/// # Errors
/// The file is no realm export with users.
pub(super) fn read(source: Source, emit: Emit<'_>) -> anyhow::Result<()> {
    let position = source.position();
    position.set_unbounded(true);
    // The reader of serde_json takes one byte after the other.
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(source));
    let users =
        Users { emit: RefCell::new(emit), position, count: RefCell::new(None), ends: RefCell::new(false) };
    let read = json.deserialize_any(Realm(&users));
    if *users.ends.borrow() {
        return Ok(());
    }
    read.context("this is no realm export of Keycloak")?;
    json.end().context("more follows after the realm")?;
    anyhow::ensure!(
        users.count.borrow().is_some(),
        "the realm has no users: export it with them (`kc.sh export --realm NAME --file FILE --users realm_file`)"
    );
    Ok(())
}

struct Users<'a> {
    emit: RefCell<Emit<'a>>,
    position: Arc<Position>,
    /// Number of users so far; `None` before the list.
    count: RefCell<Option<u64>>,
    /// No more users are wanted.
    ends: RefCell<bool>,
}

/// The object of a realm.
struct Realm<'a, 'b>(&'a Users<'b>);

impl<'de> Visitor<'de> for Realm<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members of a realm")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key != "users" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if self.0.count.replace(Some(0)).is_some() {
                return Err(M::Error::custom("it has two lists of users"));
            }
            map.next_value_seed(List(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, _: S) -> Result<(), S::Error> {
        Err(S::Error::custom(
            "it has several realms: export one (`kc.sh export --realm NAME --file FILE --users realm_file`)",
        ))
    }
}

/// The list of users.
struct List<'a, 'b>(&'a Users<'b>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        let users = self.0;
        users.position.set_unbounded(false);
        let mut number = 0;
        while let Some(user) = list.next_element::<KeycloakUser>()? {
            number += 1;
            users.count.replace(Some(number));
            if !(users.emit.borrow_mut())(item(Place::User(number), user)) {
                users.ends.replace(true);
                return Err(S::Error::custom("no more users are wanted"));
            }
        }
        users.position.set_unbounded(true);
        Ok(())
    }
}

fn item(place: Place, user: KeycloakUser) -> Item {
    if user.service_account_client_id.is_some() {
        return Item::Skipped { place, login: user.username, why: "a service account is not a person" };
    }
    let password = user.credentials.iter().find(|credential| credential.kind == "password");
    let hash = password.map(|credential| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        read_keycloak_hash(&text(&credential.credential_data), &text(&credential.secret_data))
    });
    let name: Vec<&str> =
        [&user.first_name, &user.last_name].into_iter().flatten().map(|part| part.trim()).collect();
    let name = name.join(" ").trim().to_owned();
    let of_clients = user
        .client_roles
        .iter()
        .flat_map(|(client, roles)| roles.iter().map(move |role| format!("{client}/{role}")));
    let groups = user.groups.into_iter().chain(user.realm_roles).chain(of_clients).collect();
    let is_second =
        |kind: &str| matches!(kind, "otp" | "totp" | "hotp" | "webauthn" | "recovery-authn-codes");
    Item::User(Box::new(Entry {
        hash: hash.transpose(),
        email: user.email.filter(|email| !email.is_empty()),
        email_verified: user.email_verified,
        name: (!name.is_empty()).then_some(name),
        groups: Some(groups),
        disabled: user.enabled.map(|enabled| !enabled),
        has_second_factor: user.credentials.iter().any(|credential| is_second(&credential.kind)),
        ..Entry::new(place, user.username)
    }))
}
