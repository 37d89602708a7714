// Echo app on Node's http server: `<user> <nonce> <body length>` as body and as X-Echo.
const http = require("http");
http
  .createServer((request, response) => {
    let length = 0;
    request.on("data", (chunk) => (length += chunk.length));
    request.on("end", () => {
      const user = request.headers["x-auth-user"] ?? "-";
      const echo = `${user} ${request.headers["x-nonce"] ?? "-"} ${length}`;
      response.writeHead(200, { "Content-Type": "text/plain", "X-Echo": echo });
      response.end(request.method === "HEAD" ? undefined : echo + "\n");
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
