//! A small disk under Postgres, which is filled.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::instances::Server;

/// Room for what Postgres writes while it is moved.
const ROOM: u64 = 8 << 20;

fn run(program: &str, args: &[&str]) {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {complaint}");
}

/// Returns true if this user may mount a file system, as the fault needs.
pub(super) fn may_mount() -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", &path]).output();
    let is_mounted = mounted.is_ok_and(|output| output.status.success());
    if is_mounted {
        run("umount", &[&path]);
    }
    is_mounted
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let of = |path: &Path| match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => size(path),
        Ok(facts) => facts.len().next_multiple_of(4096),
        Err(_) => 0,
    };
    entries.map(|entry| of(&entry.path())).sum()
}

/// Moves the data to a small file system of its own.
pub(super) fn make_small(server: &Server) {
    let (data, folder) = (server.folder().join("data"), server.folder().display().to_string());
    if !is_small(server) {
        server.stop();
        let (at, aside) = (format!("{folder}/data"), format!("{folder}/data-before"));
        fs::rename(&data, &aside).expect("moved aside");
        fs::create_dir(&data).expect("a folder");
        let room = format!("size={},mode=0700", size(Path::new(&aside)) + ROOM);
        run("mount", &["-t", "tmpfs", "-o", &room, "tmpfs", &at]);
        run("cp", &["-a", &format!("{aside}/."), &at]);
        fs::remove_dir_all(&aside).expect("removed");
        server.start_again();
    }
}

/// Writes until there is no room.
pub(super) fn fill(server: &Server) {
    let data = server.folder().join("data");
    let mut filler = fs::File::create(data.join("filler")).expect("a file");
    while filler.write_all(&[0; 4096]).is_ok() {}
}

/// Returns true if the data has been moved before.
fn is_small(server: &Server) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts.contains(&format!(" {}/data ", server.folder().display()))
}

/// Makes room, and starts Postgres if it has given up, as an operator does.
pub(super) fn make_room(server: &Server) {
    let data = server.folder().join("data");
    fs::remove_file(data.join("filler")).expect("removed");
    run("mount", &["-o", "remount,size=1g", &data.display().to_string()]);
    if !is_running(server) {
        server.start_again();
    }
}

fn is_running(server: &Server) -> bool {
    let pid = fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap_or_default();
    let pid = pid.lines().next().unwrap_or_default().trim().to_owned();
    !pid.is_empty() && Path::new("/proc").join(pid).exists()
}
