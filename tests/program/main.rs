//! The real program: started, used over its sockets, killed and restarted.

#[path = "../support/app.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod app;
#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "../support/measured.rs"]
mod measured;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod redis;
#[path = "../support/socket.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod socket;
#[path = "../support/tls.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod tls;

mod house;
mod load;
mod process;
mod serving;

mod cli;
mod cli_json;
mod cli_vault;
mod client_certificates;
mod demo;
mod forwarded;
mod grpc;
mod help;
mod httpbin;
mod https;
mod kill;
mod listening;
mod logs;
mod logs_floods;
mod logs_http2;
mod logs_secrets;
mod reload;
mod serve;
mod shell;
mod startup;
mod status;
mod status_away;
mod upgrade;
