//! The targets by class. They aim at `admin` and start with `public`.

mod segments;
mod targets;

use std::collections::BTreeSet;

/// One request line with its expectations.
pub(super) struct Case {
    pub(super) class: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Vec<u8>,
    /// Overrides the host.
    pub(super) host: Option<&'static str>,
    pub(super) fields: Vec<String>,
    /// Closing the connection is acceptable, too: this is not valid HTTP.
    pub(super) may_be_cut: bool,
}

impl Case {
    /// Returns true if the target is the ambiguous part.
    pub(super) fn is_path(&self) -> bool {
        self.method == "GET" && self.fields.is_empty() && self.host.is_none()
    }
}

#[derive(Default)]
struct Corpus {
    cases: Vec<Case>,
    known: BTreeSet<Vec<u8>>,
}

impl Corpus {
    fn get(&mut self, class: &'static str, target: impl AsRef<[u8]>) {
        let target = target.as_ref().to_vec();
        if self.known.insert(target.clone()) {
            let may_be_cut = target.iter().any(|b| !(b' '..0x7f).contains(b));
            self.cases.push(Case {
                class,
                method: "GET",
                target,
                host: None,
                fields: Vec::new(),
                may_be_cut,
            });
        }
    }

    fn with(
        &mut self,
        class: &'static str,
        method: &'static str,
        target: &str,
        host: Option<&'static str>,
        fields: &[&str],
    ) {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        let target = target.as_bytes().to_vec();
        self.cases.push(Case { class, method, target, host, fields, may_be_cut: false });
    }
}

pub(super) fn all() -> Vec<Case> {
    let mut corpus = Corpus::default();
    segments::dot_segments(&mut corpus);
    segments::slashes(&mut corpus);
    segments::letters(&mut corpus);
    segments::endings(&mut corpus);
    targets::queries(&mut corpus);
    targets::authorities(&mut corpus);
    targets::lengths(&mut corpus);
    targets::raw_bytes(&mut corpus);
    targets::harmless(&mut corpus);
    targets::methods(&mut corpus);
    corpus.cases
}
