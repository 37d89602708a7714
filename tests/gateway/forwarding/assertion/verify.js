// Verifies the assertion on standard input as an app does: `verify.js FOLDER JWKS_URL ISSUER AUDIENCE`, with `jose` in
// `FOLDER/node_modules`. Prints the claims as JSON, or ends with a status other than 0.

const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { pathToFileURL } = require('node:url')

const [folder, url, issuer, audience] = process.argv.slice(2)

async function main() {
  const path = createRequire(`${folder}/index.js`).resolve('jose')
  const jose = await import(pathToFileURL(path).href)
  const keys = jose.createRemoteJWKSet(new URL(url))
  const { payload } = await jose.jwtVerify(readFileSync(0, 'utf8'), keys, {
    issuer,
    audience,
    typ: 'doorward-assertion+jwt',
    algorithms: ['EdDSA', 'ES256', 'RS256'],
    maxTokenAge: 60,
    requiredClaims: ['sub', 'sid'],
  })
  console.log(JSON.stringify(payload))
}

main().catch((error) => {
  console.error(error.code ?? error)
  process.exit(1)
})
