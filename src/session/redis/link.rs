//! A connection to Redis shared by many requests: to one server, or to the masters of a Cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value, from_redis_value};

use super::fault::Fault;

/// A shared connection; commands of concurrent requests are pipelined.
#[derive(Clone)]
pub(super) enum Link {
    /// A connection to one server.
    One(MultiplexedConnection),
    /// Connections to all masters of a Cluster.
    Cluster(ClusterConnection),
}

impl Link {
    /// Sends one command and returns the reply.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        timeout: Duration,
    ) -> Result<T, Fault> {
        match self.clone() {
            Self::One(mut one) => within(timeout, command.query_async(&mut one)).await,
            Self::Cluster(mut cluster) => within(timeout, command.query_async(&mut cluster)).await,
        }
    }

    /// Sends commands on one key, carried out in this order, and returns the replies. One server gets them in one
    /// write. A Cluster gets them one by one, as each follows its slot if that moves. No transaction is used: the
    /// caller does not need one, a moving slot would abort it, and the redis crate panics for a user without the right
    /// to EXEC (1.8.1).
    pub(super) async fn in_order(&self, commands: &[Cmd], timeout: Duration) -> Result<Vec<Value>, Fault> {
        match self.clone() {
            Self::One(mut one) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                within(timeout, pipeline.query_async(&mut one)).await
            }
            Self::Cluster(_) => {
                let mut replies = Vec::with_capacity(commands.len());
                for command in commands {
                    replies.push(self.query(command, timeout).await?);
                }
                Ok(replies)
            }
        }
    }

    /// Sends a command about the server itself to any one master.
    pub(super) async fn query_any<T: FromRedisValue>(
        &self,
        command: Cmd,
        timeout: Duration,
    ) -> Result<T, Fault> {
        let Self::Cluster(mut cluster) = self.clone() else { return self.query(&command, timeout).await };
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
        let value = within(timeout, cluster.route_command(command, any)).await?;
        from_redis_value(value).map_err(|error| Fault::from(RedisError::from(error)))
    }
}

impl Link {
    /// Sends a command about the servers themselves to every master.
    pub(super) async fn query_masters(&self, command: Cmd, timeout: Duration) -> Result<Vec<String>, Fault> {
        let Self::Cluster(mut cluster) = self.clone() else {
            return Ok(vec![self.query(&command, timeout).await?]);
        };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let read = |value| from_redis_value(value).map_err(|error| Fault::from(RedisError::from(error)));
        match within(timeout, cluster.route_command(command, all)).await? {
            // A reply per address.
            Value::Map(replies) => replies.into_iter().map(|(_, reply)| read(reply)).collect(),
            other => Err(Fault::Refused(format!("an unexpected reply of a Cluster: {other:?}"))),
        }
    }
}

async fn within<T>(timeout: Duration, reply: impl Future<Output = RedisResult<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(timeout, reply).await {
        Ok(reply) => Ok(reply?),
        Err(_) => Err(Fault::Unanswered(format!("not within {} ms", timeout.as_millis()).into())),
    }
}
