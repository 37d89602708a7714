"""Opens the encrypted claims of the access token on standard input as an app does: `open.py KEY_FILE JWKS_URL ISSUER AUDIENCE`, with
joserfc. KEY_FILE holds a shared key in base64url, or a private key in PEM.

Prints the claims as JSON, `null` if the token has none, or ends with a status other than 0.
"""

import json
import pathlib
import sys
import urllib.request

from joserfc import jwt
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, KeySet, OctKey

key_file, url, issuer, audience = sys.argv[1:]

# The access token comes first: anyone who has a public key can encrypt for it.
with urllib.request.urlopen(url, timeout=30) as response:
    keys = KeySet.import_key_set(json.load(response))
token = jwt.decode(sys.stdin.read(), keys, algorithms=["EdDSA", "ES256", "RS256"])
if token.header["typ"] != "at+jwt":
    sys.exit("no access token")
value = lambda text: {"essential": True, "value": text}
jwt.JWTClaimsRegistry(iss=value(issuer), aud=value(audience), exp={"essential": True}).validate(token.claims)

encrypted = token.claims.get("encrypted_claims")
if encrypted is None:
    print("null")
    sys.exit()
text = pathlib.Path(key_file).read_text().strip()
if text.startswith("-----BEGIN"):
    key, algorithm = ECKey.import_key(text), "ECDH-ES"
else:
    key, algorithm = OctKey.import_key({"kty": "oct", "k": text}), "dir"
opened = jwt.decode(encrypted, key, registry=JWERegistry(algorithms=[algorithm, "A256GCM"]))
if opened.header["typ"] != "doorward-claims+jwt":
    sys.exit("another type")
if any(opened.claims[name] != token.claims[name] for name in ["sub", "sid", "iat"]):
    sys.exit("of another token")
if opened.header["kid"] not in [key.thumbprint(), "wiki-2026"]:
    sys.exit("another key")
print(json.dumps(opened.claims))
