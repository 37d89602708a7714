// Opens the encrypted claims of the access token on standard input as an app does: `open.js FOLDER KEY_FILE JWKS_URL ISSUER AUDIENCE`,
// with `jose` in `FOLDER/node_modules`. KEY_FILE holds a shared key in base64url, or a private key in PEM. Prints the claims as JSON,
// `null` if the token has none, or ends with a status other than 0.

const { createPrivateKey } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { pathToFileURL } = require('node:url')

const [folder, keyFile, url, issuer, audience] = process.argv.slice(2)

async function main() {
  const path = createRequire(`${folder}/index.js`).resolve('jose')
  const jose = await import(pathToFileURL(path).href)
  // The access token comes first: anyone who has a public key can encrypt for it.
  const keys = jose.createRemoteJWKSet(new URL(url))
  const { payload: token } = await jose.jwtVerify(readFileSync(0, 'utf8'), keys, { issuer, audience, typ: 'at+jwt' })
  if (token.encrypted_claims === undefined) return console.log('null')

  const text = readFileSync(keyFile, 'utf8').trim()
  const isPem = text.startsWith('-----BEGIN')
  const key = isPem ? createPrivateKey(text) : Buffer.from(text, 'base64url')
  const { payload, protectedHeader } = await jose.jwtDecrypt(token.encrypted_claims, key, {
    typ: 'doorward-claims+jwt',
    keyManagementAlgorithms: [isPem ? 'ECDH-ES' : 'dir'],
    contentEncryptionAlgorithms: ['A256GCM'],
  })
  for (const name of ['sub', 'sid', 'iat']) {
    if (payload[name] !== token[name]) throw new Error('of another token')
  }
  const jwk = isPem ? key.export({ format: 'jwk' }) : { kty: 'oct', k: text }
  if (![await jose.calculateJwkThumbprint(jwk), 'wiki-2026'].includes(protectedHeader.kid)) throw new Error('another key')
  console.log(JSON.stringify(payload))
}

main().catch((error) => {
  console.error(error.code ?? error)
  process.exit(1)
})
