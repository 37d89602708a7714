//! Properties of a server, read once per connection: its version and its eviction policy.

use std::time::Duration;

use redis::cmd;

use super::fault::Fault;
use super::link::Link;

/// Timeout of these commands. No request waits for them; a slower server is not fit to be published.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Minimum version: the first with `PEXPIRE .. GT`. Valkey reports 7.2.4 here.
const MIN_VERSION: (u32, u32) = (7, 0);

/// Properties of a server, as far as an ACL allows reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// `redis_version`
    pub(super) version: Option<String>,
    /// `maxmemory-policy`
    pub(super) policy: Option<String>,
}

impl ServerInfo {
    /// Queries a server, or any master of a Cluster.
    pub(super) async fn at(link: &Link) -> Result<Self, Fault> {
        let (mut info, mut config) = (cmd("INFO"), cmd("CONFIG"));
        info.arg("server");
        config.arg("GET").arg("maxmemory-policy");
        let info: Option<String> = if_allowed(link.query_any(info, TIMEOUT).await)?;
        let config: Option<Vec<String>> = if_allowed(link.query_any(config, TIMEOUT).await)?;
        Ok(Self {
            version: info.as_deref().and_then(version).map(str::to_owned),
            policy: config.and_then(|pair| pair.into_iter().nth(1)),
        })
    }

    /// Returns whether this server lacks a required command.
    pub(super) fn is_too_old(&self) -> bool {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let Some(mut parts) = self.version.as_deref().map(|version| version.split('.')) else { return false };
        let (major, minor) = (number(parts.next()), number(parts.next()));
        major.is_some_and(|major: u32| (major, minor.unwrap_or(0)) < MIN_VERSION)
    }

    /// Returns a warning about the eviction policy, if it is unsuitable.
    pub(super) fn eviction_warning(&self) -> Option<&'static str> {
        match self.policy.as_deref()? {
            "noeviction" | "volatile-ttl" => None,
            policy if policy.starts_with("allkeys-") => Some(
                "when memory is short this Redis removes sessions that are in use, and tombstones: requests then ask \
                 the vault, and fail while it is lost; set maxmemory-policy to noeviction or \
                 volatile-ttl",
            ),
            policy if policy.starts_with("volatile-") => Some(
                "when memory is short this Redis may remove tombstones before sessions: a gateway that has lost the \
                 vault then refuses their requests without knowing why; set maxmemory-policy to noeviction or \
                 volatile-ttl",
            ),
            _ => None,
        }
    }
}

/// Memory in use and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Memory in use, in bytes; in a Cluster, the sum of all masters.
    pub(super) used: i64,
    /// Memory limit, in bytes; 0 when any of them has no limit.
    pub(super) max: i64,
}

impl Memory {
    /// Queries the memory; `None` where an ACL forbids it.
    pub(super) async fn at(link: &Link) -> Result<Option<Self>, Fault> {
        let mut info = cmd("INFO");
        info.arg("memory");
        Ok(if_allowed(link.query_masters(info, TIMEOUT).await)?.and_then(|all| Self::read(&all)))
    }

    fn read(infos: &[String]) -> Option<Self> {
        let number = |info: &str, name: &str| -> Option<i64> {
            info.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
        };
        let (mut used, mut max, mut unlimited) = (0, 0, infos.is_empty());
        for info in infos {
            used += number(info, "used_memory:")?;
            let limit = number(info, "maxmemory:").unwrap_or(0);
            unlimited |= limit == 0;
            max += limit;
        }
        (!infos.is_empty()).then_some(Self { used, max: if unlimited { 0 } else { max } })
    }
}

/// Turns a refusal by an ACL or the provider into `None`.
fn if_allowed<T>(reply: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn version(info: &str) -> Option<&str> {
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str, policy: &str) -> ServerInfo {
        ServerInfo { version: Some(version.to_owned()), policy: Some(policy.to_owned()) }
    }

    #[test]
    fn server_before_7_0_is_too_old() {
        for old in ["6.2.14", "6.0", "5.0.7", "2.8", "6"] {
            assert!(of(old, "").is_too_old(), "{old}");
        }
        for new in ["7.0.0", "7.0.15", "7.2.4", "8.0.1", "10.0", "255.255.255", "unstable", ""] {
            assert!(!of(new, "").is_too_old(), "{new}");
        }
        assert!(!ServerInfo::default().is_too_old());
    }

    #[test]
    fn version_is_parsed_from_info() {
        let info = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n";
        assert_eq!(version(info), Some("7.2.4"));
        assert_eq!(version("# Server\r\n"), None);
    }

    #[test]
    fn memory_is_the_sum_of_all_masters() {
        let info = |used: u32, max: u32| format!("# Memory\r\nused_memory:{used}\r\nmaxmemory:{max}\r\n");
        let read = |infos: &[String]| Memory::read(infos).map(|memory| (memory.used, memory.max));
        assert_eq!(read(&[info(5, 100), info(7, 50)]), Some((12, 150)));
        assert_eq!(read(&[info(5, 100), info(7, 0)]), Some((12, 0)));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["# Memory\r\n".to_owned()]), None);
    }

    #[test]
    fn unsuitable_eviction_policies_cause_a_warning() {
        for fine in ["noeviction", "volatile-ttl"] {
            assert_eq!(of("7.0.0", fine).eviction_warning(), None, "{fine}");
        }
        for evicting in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let warning = of("7.0.0", evicting).eviction_warning();
            assert!(warning.is_some_and(|text| text.contains("in use")), "{evicting}");
        }
        for evicting in ["volatile-lru", "volatile-lfu", "volatile-random"] {
            let warning = of("7.0.0", evicting).eviction_warning();
            assert!(warning.is_some_and(|text| text.contains("tombstones before sessions")), "{evicting}");
        }
        assert_eq!(ServerInfo::default().eviction_warning(), None);
    }
}
