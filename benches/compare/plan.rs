//! Which cells are measured: groups of contenders under the same load.

use crate::contender::Name;
use crate::load::Protocol;

/// Contenders under one load, measured in turn.
pub(crate) struct Group {
    /// In raw data.
    pub(crate) key: &'static str,
    pub(crate) protocol: Protocol,
    /// Requests at a time.
    pub(crate) at_once: u32,
    /// Whether the answers have 100 KB, not 100 bytes.
    pub(crate) large: bool,
    /// Distinct sessions.
    pub(crate) sessions: usize,
    pub(crate) names: &'static [Name],
    pub(crate) rounds: usize,
    /// Seconds of each round as fast as it goes, and of each at a fixed rate; none of the latter where it is zero.
    pub(crate) seconds: (f64, f64),
}

impl Group {
    pub(crate) fn title(&self) -> String {
        let answers = if self.large { "100 KB" } else { "100 B" };
        let sessions = match self.sessions {
            1 => "1 session".to_owned(),
            many => format!("{},000 sessions", many / 1000),
        };
        let plural = if self.at_once == 1 { "" } else { "s" };
        format!(
            "{} request{plural} at a time, {}, {answers}, {sessions}",
            self.at_once,
            self.protocol.title()
        )
    }
}

/// The group that the claims are made of.
pub(crate) const BASE: &str = "base";

const DESCRIBES: Group = Group {
    key: BASE,
    protocol: Protocol::H1,
    at_once: 64,
    large: false,
    sessions: 1,
    names: &Name::ALL,
    rounds: 7,
    seconds: (2.0, 3.0),
};

/// Those whose ratios are promised.
const PROMISED: &[Name] = &[Name::Public, Name::Local, Name::Fresh, Name::NginxLua, Name::HaproxyHs256];
const FEW: &[Name] = &[Name::Local, Name::Fresh, Name::NginxLua, Name::HaproxyHs256];

/// Everything: 34 cells.
pub(crate) fn full() -> Vec<Group> {
    let other = |key, names| Group { key, names, rounds: 3, seconds: (2.0, 2.0), ..DESCRIBES };
    vec![
        DESCRIBES,
        Group { at_once: 1, ..other("one", FEW) },
        Group { at_once: 1024, ..other("crowd", PROMISED) },
        Group { protocol: Protocol::Tls, ..other("tls", &[Name::Local, Name::NginxLua, Name::HaproxyHs256]) },
        Group { protocol: Protocol::H2, ..other("h2", &[Name::Local, Name::NginxLua, Name::HaproxyHs256]) },
        Group { large: true, ..other("large", &[Name::Public, Name::Local, Name::NginxLua]) },
        Group {
            sessions: 100_000,
            seconds: (3.0, 0.0),
            ..other("sessions", &[Name::Local, Name::Fresh, Name::NginxLua, Name::NginxLuaCache])
        },
    ]
}

/// The promises alone.
pub(crate) fn quick() -> Vec<Group> {
    vec![Group { names: PROMISED, rounds: 5, seconds: (2.0, 2.0), ..DESCRIBES }]
}
