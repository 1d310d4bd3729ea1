import { createRemoteJWKSet, jwtVerify } from 'jose'

// Once per issuer, at start: keys are cached, and fetched again when a new one appears.
export function verifier(issuer, audience, algorithm) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
  const expected = { issuer, audience, algorithms: [algorithm], typ: 'at+jwt' }
  return async (token) => (await jwtVerify(token, keys, expected)).payload
}
