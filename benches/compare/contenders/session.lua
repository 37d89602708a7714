-- The check of the nginx contenders: the same token that doorward issues (a JWT signed with ES256), its signature checked by
-- OpenSSL and what was verified kept for each worker, then the same record of Redis that doorward reads.
local ffi = require "ffi"
local lrucache = require "resty.lrucache"
local base64 = require "ngx.base64"
local cjson = require "cjson.safe"

ffi.cdef [[
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
EVP_PKEY *d2i_PUBKEY(EVP_PKEY **a, const unsigned char **pp, long length);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
const EVP_MD *EVP_sha256(void);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, void **pctx, const EVP_MD *type, void *e, EVP_PKEY *pkey);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen);
]]
local crypto = ffi.load("libcrypto.so.3")

local M = {}
local verified = lrucache.new(200000)
local key, issuer, audience, redis_host, redis_port

function M.init(public_key, iss, aud, redis)
    local der = ngx.decode_base64(public_key)
    local pointer = ffi.new("const unsigned char *[1]", ffi.cast("const unsigned char *", der))
    key = crypto.d2i_PUBKEY(nil, pointer, #der)
    assert(key ~= nil, "the public key")
    issuer, audience = iss, aud
    redis_host, redis_port = redis:match("^(.*):(%d+)$")
    redis_port = tonumber(redis_port)
end

-- A number of the signature as DER has it.
local function integer(bytes)
    bytes = bytes:gsub("^%z+", "")
    if bytes:byte(1) == nil or bytes:byte(1) > 127 then bytes = "\0" .. bytes end
    return "\2" .. string.char(#bytes) .. bytes
end

local function is_signed(message, signature)
    if not signature or #signature ~= 64 then return false end
    local der = integer(signature:sub(1, 32)) .. integer(signature:sub(33))
    der = "\48" .. string.char(#der) .. der
    local ctx = crypto.EVP_MD_CTX_new()
    local good = crypto.EVP_DigestVerifyInit(ctx, nil, crypto.EVP_sha256(), nil, key) == 1
        and crypto.EVP_DigestVerify(ctx, der, #der, message, #message) == 1
    crypto.EVP_MD_CTX_free(ctx)
    return good
end

local function verify(token)
    local claims = verified:get(token)
    if claims then return claims end
    local header, payload, signature = token:match("^([^.]+)%.([^.]+)%.([^.]+)$")
    if not header then return nil end
    local head = cjson.decode(base64.decode_base64url(header) or "")
    if type(head) ~= "table" or head.alg ~= "ES256" or head.typ ~= "at+jwt" then return nil end
    if not is_signed(header .. "." .. payload, base64.decode_base64url(signature)) then return nil end
    claims = cjson.decode(base64.decode_base64url(payload) or "")
    if type(claims) ~= "table" or claims.iss ~= issuer or claims.aud ~= audience then return nil end
    claims.roles = table.concat(claims.roles, ",")
    verified:set(token, claims)
    return claims
end

-- Whether Redis has a live record of the session (src/session/redis/record.rs). A connection is kept for the next.
local function asked(sid)
    local socket = ngx.socket.tcp()
    if not socket:connect(redis_host, redis_port, { pool_size = 1024 }) then return false end
    local name = "dw:s:" .. sid
    socket:send("*2\r\n$3\r\nGET\r\n$" .. #name .. "\r\n" .. name .. "\r\n")
    local line = socket:receive()
    local length = line and tonumber(line:match("^%$(%d+)$"))
    local record = length and socket:receive(length + 2)
    if line then socket:setkeepalive(60000, 1024) end
    return record ~= nil and record:find("^[\1\2]L") ~= nil
end

-- The same, remembered for as long as doorward does.
local function remembered(sid)
    local confirmed = ngx.shared.confirmed
    if confirmed:get(sid) then return true end
    if not asked(sid) then return false end
    confirmed:set(sid, true, 5)
    return true
end

local function caller(look)
    local header = ngx.var.http_authorization
    if not header or header:sub(1, 7) ~= "Bearer " then return nil end
    local claims = verify(header:sub(8))
    if not claims or claims.exp <= ngx.time() or not look(claims.sid) then return nil end
    return claims
end

-- In the access phase of a proxy.
function M.admit(cache)
    local claims = caller(cache == "yes" and remembered or asked)
    if not claims then return ngx.exit(401) end
    ngx.var.auth_user_id = claims.sub
    ngx.var.auth_roles = claims.roles
    ngx.var.auth_session = claims.sid
end

-- As a service of its own.
function M.answer()
    local claims = caller(asked)
    if not claims then return ngx.exit(401) end
    ngx.header["X-Auth-User-Id"] = claims.sub
    ngx.header["X-Auth-Roles"] = claims.roles
    ngx.header["X-Auth-Session"] = claims.sid
    ngx.header["Content-Length"] = 0
    return ngx.exit(200)
end

return M
