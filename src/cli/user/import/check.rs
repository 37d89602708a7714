//! Check of a user of a file: names, attributes, hash, roles; and whether the file has the user twice.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::Checked;
use super::entry::{Entry, Item, Place};
use crate::id::{Random, UserId};
use crate::identity::{Attributes, DisplayName, Email, Login, Role, Roles};
use crate::metrics::HashKind;
use crate::password::{Peppers, StoredHash, unusable_hash};
use crate::vault::NewUser;

/// A user who can be created.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) new: NewUser,
    /// The algorithm of the hash; `None` without a password.
    pub(super) kind: Option<HashKind>,
    /// True if the file says something about roles.
    pub(super) has_roles: bool,
    /// True if the file says something about `disabled`.
    pub(super) has_disabled: bool,
    /// Groups that give no role.
    pub(super) unmapped: Vec<String>,
    pub(super) has_second_factor: bool,
}

/// Roles from groups.
pub(super) struct RoleMap {
    /// Roles of every user.
    pub(super) always: Vec<Role>,
    /// Groups, by exact text, with their roles.
    pub(super) mappings: Vec<(String, Role)>,
    /// True if a group whose name is that of a role gives that role.
    pub(super) is_by_name: bool,
}

/// Reads `GROUP=ROLE`. A group may contain `=`, a role cannot.
///
/// # Errors
/// A text for the command line.
pub(super) fn mapping(text: &str) -> Result<(String, Role), String> {
    let (group, role) = text
        .rsplit_once('=')
        .filter(|(group, _)| !group.is_empty())
        .ok_or("write the group, =, and the role, such as /staff=user")?;
    let role = role.parse().map_err(|bad: crate::identity::BadRole| bad.to_string())?;
    Ok((group.to_owned(), role))
}

impl RoleMap {
    /// Returns the roles of a user, and the groups that give none.
    fn roles(&self, entry: &Entry) -> Result<(Roles, Vec<String>), String> {
        let mut roles = self.always.clone();
        for name in entry.roles.iter().flatten() {
            roles.push(name.parse().map_err(|bad| format!("role `{name}`: {bad}"))?);
        }
        let mut unmapped = Vec::new();
        for group in entry.groups.iter().flatten() {
            let given = self.mappings.iter().filter(|(name, _)| name == group).map(|(_, role)| role.clone());
            // Keycloak writes groups as paths.
            let by_name = self.is_by_name.then(|| group.strip_prefix('/').unwrap_or(group).parse().ok());
            let before = roles.len();
            roles.extend(given.chain(by_name.flatten()));
            if roles.len() == before {
                unmapped.push(group.clone());
            }
        }
        Ok((Roles::new(roles), unmapped))
    }
}

/// Checks one user after the other.
pub(super) struct Checker {
    roles: RoleMap,
    trusts_verified: bool,
    peppers: Peppers,
    random: Arc<dyn Random>,
    /// Fingerprints of names and addresses, each with its first place.
    seen: HashMap<u64, Place>,
    fingerprint: RandomState,
}

impl Checker {
    pub(super) fn new(
        roles: RoleMap,
        trusts_verified: bool,
        peppers: Peppers,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            roles,
            trusts_verified,
            peppers,
            random,
            seen: HashMap::new(),
            fingerprint: RandomState::new(),
        }
    }

    /// Checks the next user.
    pub(super) fn check(&mut self, item: Item) -> Checked {
        let entry = match item {
            Item::Refused { place, login, why } => return Checked::Refused { place, login, why },
            Item::Skipped { place, login, why } => return Checked::Skipped { place, login, why },
            Item::User(entry) => *entry,
        };
        let place = entry.place;
        let login = entry.login.clone();
        match self.candidate(entry) {
            Ok(candidate) => Checked::User(Box::new(candidate)),
            Err(why) => Checked::Refused { place, login, why },
        }
    }

    fn candidate(&mut self, entry: Entry) -> Result<Candidate, String> {
        let login: Login = entry.login.parse().map_err(|bad| format!("login name: {bad}"))?;
        let email = entry.email.as_deref().map(str::parse::<Email>).transpose();
        let email = email.map_err(|bad| format!("e-mail address: {bad}"))?;
        let name = entry.name.as_deref().map(str::parse::<DisplayName>).transpose();
        let name = name.map_err(|bad| format!("name: {bad}"))?;
        let hash = entry.hash.as_ref().map_err(ToString::to_string)?;
        if let Some(pepper) = hash.as_ref().and_then(StoredHash::pepper)
            && !self.peppers.has(pepper)
        {
            return Err(format!(
                "the hash needs the pepper `{pepper}`, which login.peppers does not have: add it behind the first one"
            ));
        }
        let (roles, unmapped) = self.roles.roles(&entry)?;
        self.remember(&("login", login.as_str()), "login name", entry.place)?;
        if let Some(email) = &email {
            self.remember(&("email", email.as_str()), "e-mail address", entry.place)?;
        }
        let random = self.random.as_ref();
        let kind = hash.as_ref().map(StoredHash::kind);
        let password = hash.as_ref().map_or_else(|| unusable_hash(random), StoredHash::to_text);
        let verified = entry.email_verified && self.trusts_verified;
        let new = NewUser {
            attributes: Attributes::new(email, verified, name),
            disabled: entry.disabled.unwrap_or_default(),
            ..NewUser::new(UserId::random(random), login, password, roles)
        };
        Ok(Candidate {
            place: entry.place,
            new,
            kind,
            has_roles: entry.roles.is_some() || entry.groups.is_some() || !self.roles.always.is_empty(),
            has_disabled: entry.disabled.is_some(),
            unmapped,
            has_second_factor: entry.has_second_factor,
        })
    }

    fn remember(&mut self, text: &(&str, &str), what: &str, place: Place) -> Result<(), String> {
        // With a random key, two of a million names share a fingerprint once in 30 million imports.
        match self.seen.insert(self.fingerprint.hash_one(text), place) {
            None => Ok(()),
            Some(first) => {
                self.seen.insert(self.fingerprint.hash_one(text), first);
                Err(format!("the {what} is already that of {first}: remove one of them"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    fn checker(roles: RoleMap) -> Checker {
        Checker::new(roles, false, Peppers::default(), Arc::new(SystemRandom))
    }

    fn no_roles() -> RoleMap {
        RoleMap { always: Vec::new(), mappings: Vec::new(), is_by_name: false }
    }

    fn entry(line: u64, login: &str) -> Entry {
        Entry::new(Place::Line(line), login.to_owned())
    }

    #[test]
    fn user_that_is_there_twice_is_refused_the_second_time() {
        let mut checker = checker(no_roles());
        assert!(checker.candidate(entry(2, "Ada")).is_ok());
        let again = checker.candidate(entry(9, "ada")).unwrap_err();
        assert_eq!(again, "the login name is already that of line 2: remove one of them");
        let with =
            |line, login: &str, email: &str| Entry { email: Some(email.to_owned()), ..entry(line, login) };
        assert!(checker.candidate(with(10, "bob", "bob@example.org")).is_ok());
        let again = checker.candidate(with(11, "eve", "bob@EXAMPLE.org")).unwrap_err();
        assert_eq!(again, "the e-mail address is already that of line 10: remove one of them");
        let third = checker.candidate(entry(12, "ada")).unwrap_err();
        assert!(third.contains("line 2"), "{third}");
    }

    #[test]
    fn groups_give_roles_by_map_and_by_name_only() {
        let roles = |map: RoleMap, groups: &[&str]| {
            let groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
            let candidate = checker(map).candidate(Entry { groups, ..entry(1, "ada") }).unwrap();
            (candidate.new.roles.to_string(), candidate.unmapped)
        };
        let mappings = || vec![mapping("/staff=user").unwrap(), mapping("cn=ops,dc=a=admin").unwrap()];
        assert_eq!(mapping("cn=ops,dc=a=admin").unwrap().0, "cn=ops,dc=a");
        let groups = ["/staff", "cn=ops,dc=a", "/dev", "Big Boss"];
        assert_eq!(roles(no_roles(), &groups), (String::new(), groups.map(str::to_owned).to_vec()));
        let by_map = RoleMap { mappings: mappings(), ..no_roles() };
        assert_eq!(
            roles(by_map, &groups),
            ("admin,user".to_owned(), vec!["/dev".to_owned(), "Big Boss".to_owned()])
        );
        let by_name = RoleMap { is_by_name: true, always: vec!["all".parse().unwrap()], ..no_roles() };
        assert_eq!(roles(by_name, &groups).0, "all,dev,staff");
        for bad in ["staff", "=user", "staff=Big Boss", "staff="] {
            assert!(mapping(bad).is_err(), "{bad}");
        }
    }
}
