//! Limits that the kernel puts on one gateway while it runs.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{Fault, Held, Plan};
use crate::fleet::Fleet;
use crate::history::State;

/// Descriptors that a gateway may have: fewer than it has, so that no connection is accepted or made.
const FILES: u64 = 8;

pub(super) async fn begin(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    let gateway = &fleet.replicas[plan.gateway].gateway;
    if plan.fault == Fault::MemoryUsedUp {
        // Otherwise the allocator has a gigabyte in stock.
        gateway.drain().await;
        gateway.set_environment(vec![("MIMALLOC_ARENA_RESERVE", "1MiB".to_owned())]);
        gateway.start_again().await;
    }
    gateway.note(State::Starved);
    let id = gateway.id().await;
    let (resource, limit) = match plan.fault {
        Fault::DescriptorsUsedUp => (Resource::Nofile, FILES),
        Fault::MemoryUsedUp => (Resource::As, mapped(id)),
        other => unreachable!("{other:?} is no limit"),
    };
    held.limit = Some(set_limit(id, resource, Rlimit { current: Some(limit), ..getrlimit(resource) }));
}

pub(super) async fn end(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    let gateway = &fleet.replicas[plan.gateway].gateway;
    gateway.set_environment(Vec::new());
    // Without memory a process may abort; then it is started again, as service managers do.
    if plan.fault == Fault::MemoryUsedUp && gateway.exited().await.is_some() {
        gateway.note(State::Down);
        return gateway.start_again().await;
    }
    let before = held.limit.take().expect("the limit of before");
    let resource = if plan.fault == Fault::DescriptorsUsedUp { Resource::Nofile } else { Resource::As };
    set_limit(gateway.id().await, resource, before);
    gateway.note(State::Runs);
}

/// Sets a limit of a process. Returns the one of before.
fn set_limit(id: u32, resource: Resource, limit: Rlimit) -> Rlimit {
    let id = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("not zero");
    prlimit(Some(id), resource, limit).expect("a limit of a child")
}

/// Bytes of its address space.
fn mapped(id: u32) -> u64 {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("its memory");
    text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * PAGE
}
