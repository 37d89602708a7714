//! Child processes: run to completion or killed, by id, and always reaped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Timeout for an exit or a line; exceeding it fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Result of a finished process.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Standard output; the process must succeed with an empty standard error.
    pub(crate) fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Error line of a failed process: exactly one line, no output, no panic.
    pub(crate) fn complaint(self) -> String {
        let lines = self.complaints();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.into_iter().next().expect("one line")
    }

    /// Error lines.
    pub(crate) fn complaints(self) -> Vec<String> {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        assert!(!self.err.contains("panic"), "{}", self.err);
        self.err.lines().map(str::to_owned).collect()
    }
}

/// Runs a command to completion with `stdin` as its input.
pub(crate) fn run(command: &mut Command, stdin: &str) -> Done {
    run_for(command, stdin, PATIENCE)
}

/// As [`run`], with a timeout of its own.
pub(crate) fn run_for(command: &mut Command, stdin: &str, patience: Duration) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The process may end without reading.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    let id = child.id();
    let (sender, receiver) = channel();
    let waiting = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(patience) else {
        signal(id, "KILL");
        let _ = waiting.join();
        panic!("not ended within {patience:?}: {command:?}");
    };
    let output = output.expect("an output");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal to one process.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().expect("kill");
    assert!(sent.success(), "no process {id}");
}

/// A running process, killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::complaining_to(command, Stdio::piped())
    }

    /// With standard error redirected; it is read here only if it is a pipe.
    pub(crate) fn complaining_to(command: &mut Command, stderr: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = lines(child.stdout.take().expect("piped"));
        let err = child.stderr.take().map_or_else(|| channel().1, lines);
        Self { child, out, err }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Next output line; `None` when the process ends.
    pub(crate) fn line(&self) -> Option<String> {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing printed within {PATIENCE:?}"),
        }
    }

    /// First error line with `text`; fails the test when the process ends before.
    pub(crate) fn complaint_with(&self, text: &str) -> String {
        self.complaints_until(text).pop().expect("the line itself")
    }

    /// Error lines up to the first with `text`; fails the test when the process ends before.
    pub(crate) fn complaints_until(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.err.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with `{text}`"));
            let found = line.contains(text);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    /// Returns true while the process runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for the exit of this process alone: its children may keep its pipes open.
    pub(crate) fn until_exit(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE.as_millis() / 5 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("not ended within {PATIENCE:?}")
    }

    /// Waits for the exit. Returns the remaining output and error lines.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        let rest: Vec<String> = std::iter::from_fn(|| self.line()).collect();
        let complaints = self.err.iter().collect();
        (self.child.wait().expect("a child"), rest, complaints)
    }

    /// Sends SIGKILL and reaps the process.
    pub(crate) fn kill(&mut self) {
        // Fails if the process has already ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines of a pipe. A thread reads them at once, so that the process never blocks on a full pipe.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // The receiver may be gone.
            let _ = sender.send(line);
        }
    });
    receiver
}
