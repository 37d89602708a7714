//! Processes that end with the test process, however it ends: a shell reads their ids from a pipe that only this process
//! holds, and kills those that are left when the pipe closes.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
while read -r what id; do
    case $what in
        started) running="$running $id " ;;
        ended) running=$(printf '%s' "$running" | sed "s/ $id / /") ;;
    esac
done
for id in $running; do kill -9 "$id"; done
"#;

static WATCHDOG: LazyLock<Mutex<ChildStdin>> = LazyLock::new(|| {
    let mut sh = Command::new("sh");
    sh.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // In its own process group, so that Ctrl-C does not end it before it has cleaned up.
    Mutex::new(sh.process_group(0).spawn().expect("a shell").stdin.take().expect("piped"))
});

fn tell(what: &str, id: u32) {
    let mut watchdog = WATCHDOG.lock().expect("no panic while telling");
    writeln!(watchdog, "{what} {id}").expect("the watchdog listens");
}

/// A process that is killed with this one, until this is dropped: its id may be given to another process then.
#[derive(Debug)]
pub(crate) struct Watched(u32);

impl Watched {
    pub(crate) fn new(id: u32) -> Self {
        tell("started", id);
        Self(id)
    }

    pub(crate) const fn id(&self) -> u32 {
        self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        tell("ended", self.0);
    }
}
