//! Sources of an error: the typed error inside errors of other crates.

use std::error::Error;
use std::io;
use std::sync::Arc;

/// Returns the first error of this type: the error itself, or one of its sources.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = wrapped(error).or_else(|| error.source());
    }
    None
}

/// Returns the error that an I/O error or an `Arc` wraps. Their source is not that error but its source.
fn wrapped<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    Some(&**shared)
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Arc<dyn Error + Send + Sync>);

    #[test]
    fn error_inside_io_error_and_arc_is_found() {
        let number = "x".parse::<u8>().unwrap_err();
        let outer = Outer(Arc::new(io::Error::other(number.clone())));
        assert_eq!(find::<ParseIntError>(&outer), Some(&number));
        assert!(find::<io::Error>(&outer).is_some() && find::<Outer>(&outer).is_some());
        assert!(find::<std::fmt::Error>(&outer).is_none());
    }
}
