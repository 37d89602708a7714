//! Names that do not count in a password: those of the user, and those of the site.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::folded::{folded, plain};

/// Minimum length of a name. Shorter ones are part of many words.
const MIN_NAME: usize = 3;

/// Maximum number of names of one kind. A name for display may have a hundred words.
const MAX_NAMES: usize = 16;

/// Names in the form in which passwords are searched for them: letters and digits alone, folded, with letters for the characters that
/// commonly replace them; the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Names of the user.
    pub own: Vec<String>,
    /// Names of the site.
    pub site: Vec<String>,
}

impl Names {
    /// Collects the names of a user: the login name, the name for display, the local part of the e-mail address, and their words.
    pub(super) fn of_person(login: &str, name: Option<&str>, email: Option<&str>) -> Self {
        let local = email.map(|email| email.rsplit_once('@').map_or(email, |(local, _)| local));
        let texts = [Some(login), name, local];
        Self { own: collected(texts.into_iter().flatten()), site: Vec::new() }
    }

    /// Collects the names of a site: of its brand and of its hosts, without top-level domains.
    pub(super) fn of_site<'a>(brand: &'a str, hosts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let is_address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let hosts = hosts.into_iter().filter(|host| !is_address(host));
        let hosts = hosts.map(|host| host.strip_prefix("www.").unwrap_or(host));
        let labels = hosts.map(|host| host.rsplit_once('.').map_or(host, |(labels, _)| labels));
        collected([brand].into_iter().chain(labels))
    }
}

fn collected<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names = Vec::new();
    for text in texts {
        let text = folded(text);
        let words = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned);
        let whole = text.chars().filter(|c| c.is_alphanumeric()).collect();
        names.extend([whole].into_iter().chain(words));
    }
    let mut names: Vec<String> =
        names.iter().map(|name: &String| name.chars().map(plain).collect()).collect();
    names.retain(|name| name.chars().count() >= MIN_NAME);
    names.sort_by_cached_key(|name| (Reverse(name.chars().count()), name.clone()));
    names.dedup();
    names.truncate(MAX_NAMES);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_in_words() {
        let names = Names::of_person("ada.l0velace", Some("Ada Kïng"), Some("countess77@example.org"));
        assert_eq!(names.own, ["adalovelace", "countesstt", "countess", "adaking", "velace", "king", "ada"]);
        let hosts = ["www.app.example.co.uk", "localhost", "192.0.2.1", "[2001:db8::1]"];
        let site = Names::of_site("Tower Clinic", hosts);
        assert_eq!(site, ["appexampleco", "towerclinic", "localhost", "example", "clinic", "tower", "app"]);
    }
}
