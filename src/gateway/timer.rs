//! Timer of a connection: one, kept over its requests.
//!
//! To register and remove a timer for each wait costs a thousand instructions, and a request waits twice: for its header, and for
//! its end. This one is not moved when a deadline is later than its own. It then wakes its task too early, once, and goes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// A timer for one deadline after another.
#[derive(Default)]
pub(crate) struct Timer {
    /// `None` until the first deadline.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Resolves at `deadline`.
    pub(crate) async fn until(&mut self, deadline: Instant) {
        std::future::poll_fn(|cx| self.poll(cx, deadline)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn each_deadline_is_kept_whether_later_or_earlier_than_the_one_before() {
        let mut timer = Timer::default();
        for millis in [20, 60_000, 10, 30, 0, 20] {
            let deadline = Instant::now() + Duration::from_millis(millis);
            if millis == 60_000 {
                assert!(timer.until(deadline).now_or_never().is_none());
                continue;
            }
            timer.until(deadline).await;
            assert!(Instant::now() >= deadline, "{millis}");
        }
    }

    #[tokio::test]
    async fn early_wake_up_does_not_end_a_wait() {
        let mut timer = Timer::default();
        let early = Instant::now() + Duration::from_millis(10);
        assert!(timer.until(early).now_or_never().is_none());
        let late = early + Duration::from_millis(40);
        timer.until(late).await;
        assert!(Instant::now() >= late);
    }
}
