#!/bin/sh
# Echo app for Apache's mod_cgid: `<user> <nonce> <body length>` as body and as X-Echo.
length=$(wc -c)
echo="${HTTP_X_AUTH_USER:--} ${HTTP_X_NONCE:--} $length"
printf 'Content-Type: text/plain\nX-Echo: %s\n\n' "$echo"
[ "$REQUEST_METHOD" = HEAD ] || printf '%s\n' "$echo"
