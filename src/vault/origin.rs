//! Origin of a change: who made it, from where, in which request. It is stored with the change's audit row.
//!
//! It is read from the task, as the request id is: a parameter of every method that changes something would pass through
//! all use cases, and could be forgotten in any of them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::request_id::{self, RequestId};

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The user of the row, in a request of theirs.
    User,
    /// The sender of a request who has not proven to be anybody.
    Client,
    /// An identity provider, by the statement or the logout token that it signed.
    Provider,
    /// An operator at the command line, by name.
    Operator(Arc<str>),
    /// A gateway by itself.
    Gateway,
}

tokio::task_local! {
    static ACTOR: Actor;
}

impl Actor {
    /// Returns the stored name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Client => "client",
            Self::Provider => "provider",
            Self::Operator(name) => name,
            Self::Gateway => "gateway",
        }
    }

    /// Returns the operator with this name of the operating system.
    pub fn operator(name: &str) -> Self {
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        Self::Operator(format!("operator:{name}").into())
    }
}

/// Maximum length of an operator's name in characters: longer than any user name of Linux (32), too short to fill a
/// disk.
const MAX_NAME: usize = 64;

/// Runs `work` as the work of an actor.
pub fn acting<F: Future>(actor: Actor, work: F) -> impl Future<Output = F::Output> {
    ACTOR.scope(actor, work)
}

/// Actor, address and request id as text.
pub(crate) type OriginValues = Vec<Option<String>>;

/// Origin of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) actor: Actor,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<RequestId>,
}

impl Origin {
    /// Returns the origin of this task's changes. A task of a request acts for its user, any other one for the gateway,
    /// unless [`acting`] says otherwise.
    pub(crate) fn current() -> Self {
        let request = request_id::with_client();
        let (request_id, address) = request.unzip();
        let by_default = || if request_id.is_some() { Actor::User } else { Actor::Gateway };
        let actor = ACTOR.try_with(Clone::clone).unwrap_or_else(|_| by_default());
        Self { actor, address, request_id }
    }

    /// Returns actor, address and request id as text.
    pub(crate) fn values(&self) -> OriginValues {
        vec![
            Some(self.actor.as_str().to_owned()),
            self.address.map(|address| address.to_string()),
            self.request_id.as_ref().map(|id| id.as_str().to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn origin_is_the_request_unless_somebody_else_acts() {
        let nobody = Origin { actor: Actor::Gateway, address: None, request_id: None };
        assert_eq!(Origin::current(), nobody);
        let (id, address) = (RequestId::parse(b"one").unwrap(), IpAddr::from([192, 0, 2, 7]));
        request_id::scope(async {
            request_id::enter(id.clone(), address);
            let user = Origin { actor: Actor::User, address: Some(address), request_id: Some(id.clone()) };
            assert_eq!(Origin::current(), user);
            let provider = Origin { actor: Actor::Provider, ..user };
            assert_eq!(acting(Actor::Provider, async { Origin::current() }).await, provider);
        })
        .await;
        let operator = acting(Actor::operator("ada\n"), async { Origin::current() }).await;
        assert_eq!(operator.values(), [Some("operator:ada".to_owned()), None, None]);
    }
}
