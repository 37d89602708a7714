//! The measurement plan: groups of contenders under the same load.

use crate::contender::Name;
use crate::load::Protocol;

/// Contenders under one load, measured in turn.
pub(crate) struct Group {
    /// Key in raw data.
    pub(crate) key: &'static str,
    pub(crate) protocol: Protocol,
    /// Concurrent requests.
    pub(crate) at_once: u32,
    /// Selects 100 KB responses instead of 100 bytes.
    pub(crate) large: bool,
    /// Number of distinct sessions.
    pub(crate) sessions: usize,
    pub(crate) names: &'static [Name],
    pub(crate) rounds: usize,
    /// Seconds per round at maximum throughput and at a fixed rate; zero skips the latter.
    pub(crate) seconds: (f64, f64),
}

impl Group {
    pub(crate) fn title(&self) -> String {
        let responses = if self.large { "100 KB" } else { "100 B" };
        let sessions = match self.sessions {
            1 => "1 session".to_owned(),
            many => format!("{},000 sessions", many / 1000),
        };
        let plural = if self.at_once == 1 { "" } else { "s" };
        format!(
            "{} request{plural} at a time, {}, {responses}, {sessions}",
            self.at_once,
            self.protocol.title()
        )
    }
}

/// The group used for the claims.
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

/// Contenders with claimed ratios.
const PROMISED: &[Name] = &[
    Name::Public,
    Name::Local,
    Name::Fresh,
    Name::BarePingora,
    Name::NginxLuaOpaque,
    Name::NginxLua,
    Name::HaproxyHs256,
];
const FEW: &[Name] = &[Name::Local, Name::Fresh, Name::NginxLua, Name::HaproxyHs256];

/// All 34 cells.
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

/// Only the cells of the claims.
pub(crate) fn quick() -> Vec<Group> {
    vec![Group { names: PROMISED, rounds: 7, seconds: (2.0, 2.0), ..DESCRIBES }]
}
