//! A document of a provider, kept for a while: fetched by one request at a time, and the last good one kept on failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use crate::clock::{Clock, Monotonic};
use crate::provider::error::ProviderError;

/// Lifetime of a document without `max-age`. A key that was withdrawn counts for as long.
const DEFAULT_AGE: Duration = Duration::from_mins(15);

/// Bounds of `max-age`: a shorter one would cost a request per sign-in, a longer one hides changes for days.
const MIN_AGE: Duration = Duration::from_mins(5);
const MAX_AGE: Duration = Duration::from_hours(24);

/// Maximum age of a document that cannot be fetched again.
const LAST_GOOD: Duration = Duration::from_hours(24);

/// Time after a failure before the next try. Requests in between fail at once, or use the last good document.
const RETRY: Duration = Duration::from_secs(5);

/// Minimum time between two fetches for a key that is not in the set: strangers choose the names of keys.
pub(super) const FORCED: Duration = Duration::from_mins(1);

/// A document and its lifetime.
pub(super) struct Fetched<T> {
    pub(super) value: T,
    pub(super) lifetime: Duration,
}

struct Entry<T> {
    value: Arc<T>,
    fetched_at: Monotonic,
    fresh_until: Monotonic,
}

/// A cached document.
pub(super) struct Cached<T> {
    clock: Arc<dyn Clock>,
    entry: Mutex<Option<Entry<T>>>,
    failure: Mutex<Option<(Monotonic, ProviderError)>>,
    /// Held during a fetch.
    flight: tokio::sync::Mutex<()>,
}

impl<T> Cached<T> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let (entry, failure) = (Mutex::new(None), Mutex::new(None));
        Self { clock, entry, failure, flight: tokio::sync::Mutex::new(()) }
    }

    /// Returns the document, fetched anew if it is not fresh.
    pub(super) async fn get(
        &self,
        fetch: impl AsyncFnOnce() -> Result<Fetched<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let fresh = |entry: &Entry<T>, now| now < entry.fresh_until;
        let fetched = self.get_if(fresh, RETRY, fetch).await;
        fetched.or_else(|error| self.last_good().ok_or(error))
    }

    /// Returns the document, fetched anew unless that was tried during the last minute.
    pub(super) async fn get_newer(
        &self,
        fetch: impl AsyncFnOnce() -> Result<Fetched<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let fresh = |entry: &Entry<T>, now: Monotonic| now.since(entry.fetched_at) < FORCED;
        let fetched = self.get_if(fresh, FORCED, fetch).await;
        fetched.or_else(|error| self.last_good().ok_or(error))
    }

    /// Returns the document as it was fetched during the last `age`, or fetched anew. An older one does not do.
    pub(super) async fn get_within(
        &self,
        age: Duration,
        fetch: impl AsyncFnOnce() -> Result<Fetched<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let fresh = |entry: &Entry<T>, now: Monotonic| now.since(entry.fetched_at) < age;
        self.get_if(fresh, RETRY, fetch).await
    }

    /// Returns the document as it was fetched last.
    pub(super) fn last_good(&self) -> Option<Arc<T>> {
        let now = self.clock.monotonic();
        self.entry_if(|entry| now.since(entry.fetched_at) < LAST_GOOD)
    }

    async fn get_if(
        &self,
        is_fresh: impl Fn(&Entry<T>, Monotonic) -> bool,
        retry: Duration,
        fetch: impl AsyncFnOnce() -> Result<Fetched<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let asked_at = self.clock.monotonic();
        if let Some(value) = self.entry_if(|entry| is_fresh(entry, asked_at)) {
            return Ok(value);
        }
        let _flight = self.flight.lock().await;
        let now = self.clock.monotonic();
        if let Some(value) = self.entry_if(|entry| is_fresh(entry, now)) {
            return Ok(value);
        }
        // A request that waited for a fetch shares its failure: otherwise each would wait for the provider in turn.
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let recent = failure.filter(|(at, _)| *at >= asked_at || now.since(*at) < retry);
        if let Some((_, error)) = recent {
            return Err(error);
        }
        match fetch().await {
            Ok(Fetched { value, lifetime }) => {
                let (value, now) = (Arc::new(value), self.clock.monotonic());
                let entry = Entry { value: Arc::clone(&value), fetched_at: now, fresh_until: now + lifetime };
                *self.entry.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(value)
            }
            Err(error) => {
                let failure = Some((self.clock.monotonic(), error.clone()));
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
                Err(error)
            }
        }
    }

    fn entry_if(&self, accepts: impl FnOnce(&Entry<T>) -> bool) -> Option<Arc<T>> {
        let entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        entry.as_ref().filter(|entry| accepts(entry)).map(|entry| Arc::clone(&entry.value))
    }
}

/// Returns the lifetime of a response (RFC 9111 section 5.2.2), within bounds.
pub(super) fn lifetime(fields: &HeaderMap) -> Duration {
    let values = fields.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives =
        values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    let mut lifetime = DEFAULT_AGE;
    for directive in directives {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => {
                let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
                lifetime = Duration::from_secs(seconds);
            }
            None if directive == "no-store" || directive == "no-cache" => return MIN_AGE,
            _ => {}
        }
    }
    lifetime.clamp(MIN_AGE, MAX_AGE)
}

#[cfg(test)]
mod tests;
