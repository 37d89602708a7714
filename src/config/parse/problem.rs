//! Problems of a configuration file: the line, the key, and what to write instead.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// A problem in the file, and its correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as named on the command line.
    pub file: PathBuf,
    /// Line number, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// The dotted key, such as `routes[2].access`; empty for the line as a whole.
    pub key: String,
    /// The problem and what to write instead. Never contains a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    /// Writes `file:line: key: message`, without the parts that are empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every problem of one file, in order of line; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts the problems by line. Returns `None` when there are none.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.line);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Iterates in order of line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    /// Writes one problem per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Problems {}
