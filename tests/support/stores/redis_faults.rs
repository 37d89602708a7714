//! Faults of a Redis server.

use std::process::Command;

use crate::servers::RedisServer;

impl RedisServer {
    /// Stops the process; its sockets stay open, like a black hole.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes the process.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.lock().expect("no panic").as_ref().expect("it runs").id().to_string();
        let done = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(done.success(), "kill {signal} {pid}");
    }
}
