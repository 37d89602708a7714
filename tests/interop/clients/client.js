// Node: its http2 client and its https client by turns. Arguments and output as in common.py.
const fs = require("fs");
const http2 = require("http2");
const https = require("https");
const { Readable } = require("stream");

const [base, caFile, kind, countText, ...people] = process.argv.slice(2);
const ca = fs.readFileSync(caFile);
const users = [people.slice(0, 2), people.slice(2, 4)];
const ECHO = ["get", "post-length", "post-stream", "head", "post-empty", "put-large"];
const DAV = ["put-length", "get", "put-stream", "get"];

function plan(pair) {
  const shapes = kind === "dav" ? DAV : ECHO;
  const [user, token] = users[pair % 2];
  return [2 * pair, 2 * pair + 1].map((place) => {
    const shape = shapes[place % shapes.length];
    const path = kind === "dav" ? `/node-${pair}.txt` : `/node/${place}`;
    let body = "";
    if (shape.endsWith("large")) body = "x".repeat(100000);
    else if (kind === "dav" && shape.startsWith("put")) body = `${user} node-${pair}`;
    else if (/(length|stream)$/.test(shape)) body = "y".repeat(1 + (place % 700));
    const method = shape.split("-")[0].toUpperCase();
    return { shape, user, token, path, body, method, nonce: `node-${place}` };
  });
}

function report(step, status, echo, body) {
  const text = body.trim().replace(/[\t\n]/g, " ").slice(0, 160);
  const line = [step.shape, step.user, step.nonce, step.body.length, status, echo ?? "-", text || "-"];
  console.log(line.join("\t"));
}

function feed(request, step) {
  if (step.shape.endsWith("stream")) {
    const half = step.body.length >> 1;
    Readable.from([step.body.slice(0, half), step.body.slice(half)].filter((part) => part)).pipe(request);
  } else if (step.method === "GET" || step.method === "HEAD") request.end();
  else request.end(step.body);
}

function overHttp2(session, step) {
  return new Promise((resolve) => {
    const headers = {
      ":method": step.method,
      ":path": step.path,
      authorization: `Bearer ${step.token}`,
      "x-nonce": step.nonce,
    };
    if (/(length|large)$/.test(step.shape)) headers["content-length"] = step.body.length;
    const request = session.request(headers, { endStream: step.method === "GET" || step.method === "HEAD" });
    let [status, echo, body] = ["none", undefined, ""];
    request.setEncoding("utf8");
    request.on("response", (fields) => ([status, echo] = [fields[":status"], fields["x-echo"]]));
    request.on("data", (chunk) => (body += chunk));
    request.on("error", (error) => (status = error.code));
    request.on("close", () => resolve(report(step, status, echo, body)));
    if (step.method !== "GET" && step.method !== "HEAD") feed(request, step);
  });
}

function overHttp1(agent, step) {
  return new Promise((resolve) => {
    const headers = { Authorization: `Bearer ${step.token}`, "X-Nonce": step.nonce };
    if (/(length|large)$/.test(step.shape)) headers["Content-Length"] = step.body.length;
    const request = https.request(base + step.path, { method: step.method, headers, agent, ca }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (body += chunk));
      response.on("error", (error) => resolve(report(step, error.code, undefined, "")));
      response.on("end", () => resolve(report(step, response.statusCode, response.headers["x-echo"], body)));
    });
    request.on("error", (error) => resolve(report(step, error.code, undefined, "")));
    feed(request, step);
  });
}

async function work(worker) {
  const session = worker % 2 === 0 ? http2.connect(base, { ca }) : null;
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  for (let pair = worker; pair < Number(countText) >> 1; pair += 4)
    for (const step of plan(pair)) await (session ? overHttp2(session, step) : overHttp1(agent, step));
  session?.close();
  agent.destroy();
}

Promise.all([0, 1, 2, 3].map(work));
