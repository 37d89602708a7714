//! What is going on: counted for the drain, and held to be cut.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::auth::{Control, Cut};
use crate::gateway::connection::backlog::held::Held;
use crate::gateway::connection::backlog::{Backlog, Connection};

/// Requests in flight, for the drain.
#[derive(Debug)]
pub struct Traffic {
    requests: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    controls: Mutex<slab::Slab<(Arc<Control>, Arc<Backlog>)>>,
    http2: Mutex<slab::Slab<Arc<Connection>>>,
    held: Arc<Held>,
    /// No request is in flight any more, or no connection is open.
    ended: Notify,
    winding_down: AtomicBool,
    draining: AtomicBool,
    wound: watch::Sender<bool>,
    closing: watch::Sender<bool>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            controls: Mutex::default(),
            http2: Mutex::default(),
            held: Arc::default(),
            ended: Notify::new(),
            winding_down: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            wound: watch::channel(false).0,
            closing: watch::channel(false).0,
        }
    }
}

impl Traffic {
    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn request_ended(&self) {
        if self.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.notify_waiters();
        }
    }

    pub(crate) fn connection_ended(&self) {
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.notify_waiters();
        }
    }

    /// Every answer from now on is the last of its connection. One that is idle stays open: closing it could meet a
    /// request on its way.
    pub fn wind_down(&self) {
        self.winding_down.store(true, Ordering::Release);
        self.wound.send_replace(true);
    }

    /// Resolves when answers are the last of their connections.
    pub(crate) async fn until_winding_down(&self) {
        // The sender is ours: it outlives this.
        let _ = self.wound.subscribe().wait_for(|wound| *wound).await;
    }

    /// The gateway is about to stop, and no other takes its place: health checks fail from now on.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Acquire)
    }

    /// Idle connections are closed.
    pub fn close_idle(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) async fn until_closing(&self) {
        // The sender is ours: it outlives this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Whether no request is in flight.
    pub fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Resolves when no connection is open.
    pub async fn until_deserted(&self) {
        self.until_none(&self.connections).await;
    }

    async fn until_none(&self, count: &AtomicUsize) {
        loop {
            let ended = self.ended.notified();
            if count.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Resolves when no request is in flight.
    pub async fn until_idle(&self) {
        self.until_none(&self.requests).await;
    }

    /// Cuts every request in flight.
    pub fn cut_all(&self, cause: Cut) {
        self.each(|control, _| control.cut(cause));
    }

    /// Every request in flight: its control, and the backlog of its response.
    pub(crate) fn each(&self, mut look: impl FnMut(&Arc<Control>, &Arc<Backlog>)) {
        let controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, (control, backlog)) in &*controls {
            look(control, backlog);
        }
    }

    /// Every HTTP/2 connection that is open.
    pub(crate) fn each_http2(&self, mut look: impl FnMut(&Arc<Connection>)) {
        let connections = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, connection) in &*connections {
            look(connection);
        }
    }

    /// Memory held for clients whose responses are blocked.
    pub(crate) const fn held(&self) -> &Arc<Held> {
        &self.held
    }

    pub(crate) fn enter(self: &Arc<Self>, control: &Arc<Control>, backlog: &Arc<Backlog>) -> Entered {
        let mut controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        let key = controls.insert((Arc::clone(control), Arc::clone(backlog)));
        drop(controls);
        Entered { traffic: Arc::clone(self), key }
    }

    /// Lists an HTTP/2 connection for as long as what is returned lives.
    pub(crate) fn enter_http2(self: &Arc<Self>, connection: &Arc<Connection>) -> EnteredHttp2 {
        let mut connections = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        let key = connections.insert(Arc::clone(connection));
        drop(connections);
        EnteredHttp2 { traffic: Arc::clone(self), key }
    }
}

pub(crate) struct Entered {
    traffic: Arc<Traffic>,
    key: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entry = self.traffic.controls.lock().unwrap_or_else(PoisonError::into_inner).try_remove(self.key);
        if let Some((_, backlog)) = entry {
            backlog.request_is_over();
        }
    }
}

pub(crate) struct EnteredHttp2 {
    traffic: Arc<Traffic>,
    key: usize,
}

impl Drop for EnteredHttp2 {
    fn drop(&mut self) {
        self.traffic.http2.lock().unwrap_or_else(PoisonError::into_inner).try_remove(self.key);
    }
}
