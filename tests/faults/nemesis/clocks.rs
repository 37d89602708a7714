//! Wall clocks of one gateway that are stepped and that run at another rate: the unmodified program, below which libfaketime
//! answers for the system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fault, Plan};
use crate::fleet::Fleet;

/// Time before the clock is stepped again: several leases, and several reads of the file below.
const STEP: Duration = Duration::from_secs(3);

/// The library for programs with threads.
fn library() -> PathBuf {
    let machines = std::fs::read_dir("/usr/lib").expect("a folder").flatten().map(|entry| entry.path());
    let folders = machines.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    let mut found =
        folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.is_file());
    found.next().expect("`make test` installs libfaketime (Debian: libfaketime)")
}

/// Tells the library another time. It never finds half a file.
fn tell(file: &Path, time: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, time).and_then(|()| std::fs::rename(&new, file)).expect("written");
}

pub(super) async fn begin(plan: &Plan, fleet: &Fleet) {
    let gateway = &fleet.replicas[plan.gateway].gateway;
    let file = fleet.folder.join("run/time");
    tell(&file, "+0");
    gateway.drain().await;
    gateway.set_environment(vec![
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        // Seconds between two reads of the file.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        // Steps leave these alone in real systems too.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]);
    gateway.start_again().await;
    if plan.fault == Fault::ClockSlewed {
        return tell(&file, "+0 x1.05");
    }
    tell(&file, "+3600");
    tokio::time::sleep(STEP).await;
    tell(&file, "-3600");
}

pub(super) async fn end(plan: &Plan, fleet: &Fleet) {
    let gateway = &fleet.replicas[plan.gateway].gateway;
    gateway.drain().await;
    gateway.set_environment(Vec::new());
    gateway.start_again().await;
}
