"""Verifies the assertion on standard input as an app does: `verify.py LIBRARY JWKS_URL ISSUER AUDIENCE`.

Prints the claims as JSON, or ends with a status other than 0.
"""

import json
import sys
import urllib.request

ALGORITHMS = ["EdDSA", "ES256", "RS256"]
TYP = "doorward-assertion+jwt"


def with_pyjwt(token, url, issuer, audience):
    import jwt

    if jwt.get_unverified_header(token)["typ"] != TYP:
        sys.exit("another type")
    key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token)
    required = ["exp", "iat", "sub", "sid"]
    return jwt.decode(token, key, ALGORITHMS, {"require": required}, audience=audience, issuer=issuer)


def with_joserfc(token, url, issuer, audience):
    from joserfc import jwt
    from joserfc.jwk import KeySet

    with urllib.request.urlopen(url, timeout=30) as response:
        keys = KeySet.import_key_set(json.load(response))
    decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
    if decoded.header["typ"] != TYP:
        sys.exit("another type")
    value = lambda text: {"essential": True, "value": text}
    jwt.JWTClaimsRegistry(iss=value(issuer), aud=value(audience), exp={"essential": True}).validate(decoded.claims)
    return decoded.claims


library, *arguments = sys.argv[1:]
verify = {"pyjwt": with_pyjwt, "joserfc": with_joserfc}[library]
print(json.dumps(verify(sys.stdin.read(), *arguments)))
