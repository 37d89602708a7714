-- The cheapest check that people write: the token is a key of Redis, and its value says who it is. One GET over a kept connection,
-- no signature, no roles. The key is that of doorward's record, so that both learn of a revocation in the same way; bytes 3 to 18
-- of the value are the user's id (src/session/redis/record.rs).
local base64 = require "ngx.base64"

local M = {}
local host, port

function M.init(redis)
    host, port = redis:match("^(.*):(%d+)$")
    port = tonumber(port)
end

function M.admit()
    local header = ngx.var.http_authorization
    if not header or header:sub(1, 7) ~= "Bearer " then return ngx.exit(401) end
    local name = "dw:s:" .. header:sub(8)
    local socket = ngx.socket.tcp()
    if not socket:connect(host, port, { pool_size = 1024 }) then return ngx.exit(503) end
    socket:send("*2\r\n$3\r\nGET\r\n$" .. #name .. "\r\n" .. name .. "\r\n")
    local line = socket:receive()
    local length = line and tonumber(line:match("^%$(%d+)$"))
    local record = length and socket:receive(length + 2)
    if line then socket:setkeepalive(60000, 1024) end
    if not record or not record:find("^[\1\2]L") then return ngx.exit(401) end
    ngx.var.auth_user_id = base64.encode_base64url(record:sub(3, 18))
end

return M
