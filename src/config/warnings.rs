//! What a good configuration will have people wonder about: said by `doorward check`, at the start and at a reload.

use super::{Config, Tls, TlsCertificate};
use crate::clock::Timestamp;

/// Something to look at; the configuration can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The dotted key.
    pub key: String,
    /// What it is, and what to do.
    pub message: String,
}

impl Config {
    /// What is worth a look at this time.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if let Some(tls) = &self.server.tls {
            for (at, certificate) in tls.certificates.iter().enumerate() {
                certificate_warnings(
                    &format!("server.tls.certificates[{at}]"),
                    certificate,
                    now,
                    &mut warnings,
                );
            }
            for (at, url) in self.server.public_urls.iter().enumerate() {
                if let Some(message) = uncovered(url, tls) {
                    warnings.push(Warning { key: format!("server.public_urls[{at}]"), message });
                }
            }
        }
        warnings
    }
}

fn certificate_warnings(key: &str, shown: &TlsCertificate, now: Timestamp, warnings: &mut Vec<Warning>) {
    let (begins, ends) = (shown.certificate.begins(), shown.certificate.ends());
    let renew = "renew it, and put the new one in its place: it is taken without a restart";
    let mut warn = |name: &str, message| warnings.push(Warning { key: format!("{key}.{name}"), message });
    if ends < now {
        warn("cert_file", format!("it ended at {ends}, and no client accepts it: {renew}"));
    } else if now < begins {
        warn(
            "cert_file",
            format!("it begins at {begins}, and no client accepts it until then; is the clock right?"),
        );
    // Automatic renewal comes at two thirds of a life: something is wrong with it.
    } else if ends.since(now) < ends.since(begins) / 6 {
        warn("cert_file", format!("it ends at {ends}: {renew}"));
    }
    if shown.key_is_open {
        warn("key_file", "every user of this machine can read the private key: chmod 600 it".to_owned());
    }
}

/// What is wrong with serving `url` by these certificates.
fn uncovered(url: &str, tls: &Tls) -> Option<String> {
    let host = url.strip_prefix("https://")?;
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let shown = |certificate: &&TlsCertificate| {
        certificate.hosts.iter().any(|known| known == host)
            || certificate.hosts.iter().any(|known| {
                known
                    .strip_prefix("*.")
                    .is_some_and(|below| host.split_once('.').is_some_and(|(_, rest)| rest == below))
            })
    };
    let certificate = tls.certificates.iter().find(shown).or(tls.certificates.first())?;
    (!certificate.certificate.covers(host)).then(|| {
        format!("no certificate of server.tls is for {host:?}: browsers will refuse it; add one, or correct the address")
    })
}
