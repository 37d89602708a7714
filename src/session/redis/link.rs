//! A connection to Redis that many requests share: to one server, or to the masters of a Cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value, from_redis_value};

use super::fault::Fault;

/// Commands of concurrent requests travel together.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    One(MultiplexedConnection),
    /// To every master of a Cluster.
    Cluster(ClusterConnection),
}

impl Link {
    /// The answer to one command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd, limit: Duration) -> Result<T, Fault> {
        match self.clone() {
            Self::One(mut one) => within(limit, command.query_async(&mut one)).await,
            Self::Cluster(mut cluster) => within(limit, command.query_async(&mut cluster)).await,
        }
    }

    /// The answers to commands on one key, carried out in this order: in one write to one server; one by one in a
    /// Cluster, where each follows its slot if that moves. No transaction: the caller does not need one, a moving slot
    /// would abort it, and a user without the right to EXEC makes this client's library panic (1.8.1).
    pub(super) async fn in_order(&self, commands: &[Cmd], limit: Duration) -> Result<Vec<Value>, Fault> {
        match self.clone() {
            Self::One(mut one) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                within(limit, pipeline.query_async(&mut one)).await
            }
            Self::Cluster(_) => {
                let mut answers = Vec::with_capacity(commands.len());
                for command in commands {
                    answers.push(self.ask(command, limit).await?);
                }
                Ok(answers)
            }
        }
    }

    /// The answer of any one master, to a command about the server itself.
    pub(super) async fn ask_any<T: FromRedisValue>(&self, command: Cmd, limit: Duration) -> Result<T, Fault> {
        let Self::Cluster(mut cluster) = self.clone() else { return self.ask(&command, limit).await };
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
        let value = within(limit, cluster.route_command(command, any)).await?;
        from_redis_value(value).map_err(|error| Fault::from(RedisError::from(error)))
    }
}

impl Link {
    /// The answer of every master, to a command about the servers themselves.
    pub(super) async fn ask_masters(&self, command: Cmd, limit: Duration) -> Result<Vec<String>, Fault> {
        let Self::Cluster(mut cluster) = self.clone() else {
            return Ok(vec![self.ask(&command, limit).await?]);
        };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let read = |value| from_redis_value(value).map_err(|error| Fault::from(RedisError::from(error)));
        match within(limit, cluster.route_command(command, all)).await? {
            // Each by its address.
            Value::Map(answers) => answers.into_iter().map(|(_, answer)| read(answer)).collect(),
            other => Err(Fault::Refused(format!("an unexpected answer of a Cluster: {other:?}"))),
        }
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Unanswered(format!("not within {} ms", limit.as_millis()))),
    }
}
