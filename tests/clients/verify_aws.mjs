import { JwtVerifier } from 'aws-jwt-verify'

// Once per issuer, at start: keys are cached, and fetched again when a new one appears. The library does not look at
// `typ` by itself, and only an access token is one.
export function verifier(issuer, audience, cache = {}) {
  const customJwtCheck = ({ header }) => {
    if (header.typ !== 'at+jwt') throw new Error('not an access token')
  }
  const jwksUri = `${issuer}/.well-known/jwks.json`
  const verifier = JwtVerifier.create({ issuer, audience, jwksUri, customJwtCheck }, cache)
  return (token) => verifier.verify(token)
}
