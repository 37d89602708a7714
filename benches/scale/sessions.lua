-- Each request with the next access token of a file whose lines are all of one length, and round again.
-- Arguments: the file, the bytes of a line, the line to begin with, the path.
local file, width, head, tail

function init(args)
  file = assert(io.open(args[1], "r"))
  width = tonumber(args[2])
  file:seek("set", width * tonumber(args[3]))
  head = "GET " .. args[4] .. " HTTP/1.1\r\nHost: app.example.com\r\nAuthorization: Bearer "
  tail = "\r\n\r\n"
end

function request()
  local line = file:read(width)
  if not line or #line < width then
    file:seek("set", 0)
    line = file:read(width)
  end
  return head .. line:sub(1, -2) .. tail
end

function done(summary, latency)
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration, summary.errors.status,
    latency:percentile(50), latency:percentile(99)))
end
