//! Parses a TOML file into checked values: the reader, units, origins, secrets, and problems with their lines.

pub(crate) mod colour;
pub(crate) mod hint;
pub(crate) mod location;
pub(crate) mod origin;
pub(crate) mod paths;
pub(crate) mod problem;
pub(crate) mod reader;
pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod units;
