//! Open connections and requests in flight: counted for the drain, and registered so that they can be cut.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::auth::{Control, Cut};
use crate::gateway::connection::backlog::held::Held;
use crate::gateway::connection::backlog::{Backlog, Connection};

/// Registry of connections and requests.
#[derive(Debug)]
pub struct Traffic {
    requests: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    controls: Mutex<slab::Slab<(Arc<Control>, Arc<Backlog>)>>,
    http2: Mutex<slab::Slab<Arc<Connection>>>,
    held: Arc<Held>,
    /// Signalled when the last request ends, and when the last connection closes.
    ended: Notify,
    winding_down: AtomicBool,
    draining: AtomicBool,
    winding_down_sender: watch::Sender<bool>,
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
            winding_down_sender: watch::channel(false).0,
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

    /// Makes every response from now on the last of its connection. Idle connections stay open: a request may be on its way.
    pub fn wind_down(&self) {
        self.winding_down.store(true, Ordering::Release);
        self.winding_down_sender.send_replace(true);
    }

    /// Resolves when the gateway winds down.
    pub(crate) async fn until_winding_down(&self) {
        // Cannot fail: `self` owns the sender.
        let _ = self.winding_down_sender.subscribe().wait_for(|winding_down| *winding_down).await;
    }

    /// Makes health checks fail: the gateway is about to stop, and no new process takes over.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Acquire)
    }

    /// Closes idle connections.
    pub fn close_idle(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) async fn until_closing(&self) {
        // Cannot fail: `self` owns the sender.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Whether no request is in flight.
    pub fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Resolves when no connection is open.
    pub async fn until_no_connections(&self) {
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

    /// Calls `visit` for every request in flight, with its control and the backlog of its response.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Arc<Control>, &Arc<Backlog>)) {
        let controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, (control, backlog)) in &*controls {
            visit(control, backlog);
        }
    }

    /// Calls `visit` for every open HTTP/2 connection.
    pub(crate) fn each_http2(&self, mut visit: impl FnMut(&Arc<Connection>)) {
        let connections = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, connection) in &*connections {
            visit(connection);
        }
    }

    /// Memory held for clients whose responses are blocked.
    pub(crate) const fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Registers a request until the returned guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, control: &Arc<Control>, backlog: &Arc<Backlog>) -> Entered {
        let mut controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        let key = controls.insert((Arc::clone(control), Arc::clone(backlog)));
        drop(controls);
        Entered { traffic: Arc::clone(self), key }
    }

    /// Registers an HTTP/2 connection until the returned guard is dropped.
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
