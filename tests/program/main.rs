//! The real program: started, used over its sockets, killed and restarted.

#[path = "../support/app.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod app;
#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/program/house.rs"]
mod house;
#[path = "../support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "../support/http2.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http2;
#[path = "../support/measured.rs"]
mod measured;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/program/process.rs"]
mod process;
#[path = "../support/range_api.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod range_api;
#[path = "../support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod redis;
#[path = "../support/program/serving.rs"]
mod serving;
#[path = "../support/socket.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod socket;
#[path = "../support/tls.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod tls;

mod apps;
mod commands;
mod lifecycle;
mod load;
mod logs;
