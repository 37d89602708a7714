//! Report of an import: refused and skipped users as they come, and a summary.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;

use super::check::Candidate;
use super::entry::Place;
use crate::cli::table::JsonArray;
use crate::metrics::Label as _;
use crate::vault::Imported;

/// Maximum number of groups that are named.
const MAX_GROUPS: usize = 100;

/// Counts of one pass, and its output.
pub(super) struct Report {
    /// True if refused and skipped users are printed.
    is_told: bool,
    has_json: bool,
    array: JsonArray,
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
    skipped: u64,
    second_factors: u64,
    /// Created users by the algorithm of their hash.
    hashes: BTreeMap<&'static str, u64>,
    /// Users in groups that give no role.
    unmapped: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(is_told: bool, has_json: bool) -> Self {
        Self {
            is_told,
            has_json,
            array: JsonArray::default(),
            created: 0,
            updated: 0,
            unchanged: 0,
            refused: 0,
            skipped: 0,
            second_factors: 0,
            hashes: BTreeMap::new(),
            unmapped: BTreeMap::new(),
        }
    }

    /// Number of refused users.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Number of users that were read.
    pub(super) const fn read(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.refused + self.skipped
    }

    /// Counts and prints a refused user.
    pub(super) fn refuse(
        &mut self,
        place: Place,
        login: &str,
        why: &str,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        self.refused += 1;
        self.tell(place, login, "refused", why, out)
    }

    /// Counts and prints a skipped user.
    pub(super) fn skip(
        &mut self,
        place: Place,
        login: &str,
        why: &str,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        self.skipped += 1;
        self.tell(place, login, "skipped", why, out)
    }

    /// Counts the result of a user.
    pub(super) fn count(
        &mut self,
        candidate: &Candidate,
        result: Imported,
        is_updated: bool,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match result {
            Imported::EmailTaken => {
                let login = candidate.new.login.as_str();
                let why = "another user has the e-mail address: change it, or leave it empty";
                return self.refuse(candidate.place, login, why, out);
            }
            Imported::LoginTaken if is_updated => self.updated += 1,
            Imported::LoginTaken => self.unchanged += 1,
            Imported::Created => {
                self.created += 1;
                let kind = candidate.kind.map_or("no password", |kind| kind.as_str());
                *self.hashes.entry(kind).or_default() += 1;
                self.second_factors += u64::from(candidate.has_second_factor);
            }
        }
        for group in &candidate.unmapped {
            if self.unmapped.len() < MAX_GROUPS || self.unmapped.contains_key(group) {
                *self.unmapped.entry(group.clone()).or_default() += 1;
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        place: Place,
        login: &str,
        what: &str,
        why: &str,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        if !self.is_told {
            return Ok(());
        }
        if self.has_json {
            let object = json!({ "place": place.to_string(), "name": login, "result": what, "reason": why });
            self.array.push(&object, out)?;
        } else {
            // The name is text of a stranger: no control characters on a terminal.
            writeln!(out, "{place}: {what} {login:?}: {why}")?;
        }
        Ok(())
    }

    /// Prints the summary.
    pub(super) fn end(mut self, has_json: bool, is_trial: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        if has_json {
            let object = json!({
                "result": "summary",
                "dry_run": is_trial,
                "created": self.created,
                "updated": self.updated,
                "unchanged": self.unchanged,
                "refused": self.refused,
                "skipped": self.skipped,
                "hashes": self.hashes,
                "groups_without_role": self.unmapped,
                "second_factors_left_out": self.second_factors,
            });
            self.array.push(&object, out)?;
            self.array.end(out)?;
            return Ok(());
        }
        let would = if is_trial { "would be " } else { "" };
        writeln!(
            out,
            "users read: {}; {would}created: {}; {would}updated: {}; unchanged: {}; refused: {}; skipped: {}",
            self.read(),
            self.created,
            self.updated,
            self.unchanged,
            self.refused,
            self.skipped
        )?;
        let list = |counts: Vec<String>| counts.join(", ");
        if !self.hashes.is_empty() {
            let counts = self.hashes.iter().map(|(kind, users)| format!("{kind} {users}"));
            writeln!(out, "hashes of these: {}", list(counts.collect()))?;
        }
        if !self.unmapped.is_empty() {
            let counts = self.unmapped.iter().map(|(group, users)| format!("{group:?} {users}"));
            writeln!(
                out,
                "groups that give no role (see --map and --groups-as-roles), with users: {}",
                list(counts.collect())
            )?;
        }
        if self.second_factors > 0 {
            writeln!(
                out,
                "users whose second factor was left out: {}; they sign in with the password alone",
                self.second_factors
            )?;
        }
        if is_trial {
            writeln!(out, "nothing was written")?;
        }
        Ok(())
    }
}
