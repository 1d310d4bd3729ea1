// What a team that uses jose and oauth4webapi does with the service. Nothing here knows more of it than its issuers:
// every other address comes from discovery. Only login is ours and has no standard.

import { readFile } from 'node:fs/promises'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import { JwtInvalidClaimError, JwtInvalidSignatureError } from 'aws-jwt-verify/error'
import { SimpleJwksCache } from 'aws-jwt-verify/jwk'
import { verifier } from './verify.mjs'
import { verifier as awsVerifier } from './verify_aws.mjs'

const { tenants } = JSON.parse(await readFile(process.argv[2], 'utf8'))
// The local stack has no TLS.
const insecure = { [oauth.allowInsecureRequests]: true }
let failed = 0

async function check(what, run) {
  try {
    await run()
    console.log(`ok    ${what}`)
  } catch (error) {
    failed += 1
    console.log(`FAIL  ${what}: ${error.code ?? ''} ${error.message}`)
  }
}

function equal(found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`)
  }
}

// The promise must be refused, and for this reason alone: the control of every refusal is a check that succeeds.
async function refused(promise, code) {
  let value
  try {
    value = await promise
  } catch (error) {
    equal(error.code ?? error.message, code)
    return error
  }
  throw new Error(`accepted: ${JSON.stringify(value)}`)
}

// aws-jwt-verify fetches over TLS alone, which the local stack does not have.
const fetcher = { fetch: async (uri) => (await fetch(uri)).arrayBuffer() }

async function login({ issuer, client_id, username, password }, more = {}) {
  const response = await fetch(`${issuer}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-client-version': 'test-clients/1.0.0' },
    body: JSON.stringify({ client_id, username, password, ...more }),
  })
  equal(response.status, 200)
  return response.json()
}

function tampered(token) {
  const [header, payload, signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url'))
  const forged = Buffer.from(JSON.stringify({ ...claims, scope: 'admin:keys' })).toString('base64url')
  return `${header}.${forged}.${signature}`
}

async function walk(name, tenant, other) {
  const say = (what) => `${name}: ${what}`
  const issuer = new URL(tenant.issuer)
  const client = { client_id: tenant.client_id }
  const publicClient = oauth.None()
  let server, keys, foreignKeys, tokens, spent

  await check(say('metadata by RFC 8414'), async () => {
    const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    server = await oauth.processDiscoveryResponse(issuer, response)
  })
  await check(say('metadata by OpenID Connect Discovery, the same'), async () => {
    const response = await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...insecure })
    equal(await oauth.processDiscoveryResponse(issuer, response), server)
  })
  await check(say('login'), async () => {
    tokens = await login(tenant)
    keys = jose.createRemoteJWKSet(new URL(server.jwks_uri))
    foreignKeys = jose.createRemoteJWKSet(new URL(`${other.issuer}/.well-known/jwks.json`))
  })

  const expected = { issuer: tenant.issuer, audience: tenant.audience, typ: 'at+jwt', algorithms: [tenant.algorithm] }
  const verify = (token, changes = {}, set = keys) => jose.jwtVerify(token, set, { ...expected, ...changes })

  await check(say(`${tenant.algorithm} token verified by jose`), async () => {
    const { payload, protectedHeader } = await verify(tokens.access_token)
    equal(protectedHeader.alg, tenant.algorithm)
    equal([payload.client_id, payload.tid, payload.sid], [tenant.client_id, name, tokens.sid])
    equal(payload.exp - payload.iat, tokens.expires_in)
  })
  await check(say('the key id is the RFC 7638 thumbprint'), async () => {
    const { kid } = jose.decodeProtectedHeader(tokens.access_token)
    const set = await (await fetch(server.jwks_uri)).json()
    const key = set.keys.find((key) => key.kid === kid)
    equal(await jose.calculateJwkThumbprint(key), kid)
  })
  await check(say('access token accepted by oauth4webapi as RFC 9068'), async () => {
    const request = new Request(tenant.audience, { headers: { authorization: `Bearer ${tokens.access_token}` } })
    const claims = await oauth.validateJwtAccessToken(server, request, tenant.audience, insecure)
    equal(claims.iss, tenant.issuer)
  })
  await check(say("the README's verifier takes it, and nothing else"), async () => {
    const verify = verifier(tenant.issuer, tenant.audience, tenant.algorithm)
    equal((await verify(tokens.access_token)).sid, tokens.sid)
    await refused(verify(tampered(tokens.access_token)), 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')
    const elsewhere = verifier(other.issuer, other.audience, other.algorithm)
    await refused(elsewhere(tokens.access_token), 'ERR_JOSE_ALG_NOT_ALLOWED')
  })
  await check(say('aws-jwt-verify takes it, and nothing else'), async () => {
    const cache = () => ({ jwksCache: new SimpleJwksCache({ fetcher }) })
    const verify = awsVerifier(tenant.issuer, tenant.audience, cache())
    equal((await verify(tokens.access_token)).sid, tokens.sid)
    const forged = await refused(verify(tampered(tokens.access_token)), 'Invalid signature')
    equal(forged instanceof JwtInvalidSignatureError, true)
    const elsewhere = awsVerifier(tenant.issuer, 'https://api.elsewhere.example', cache())
    await elsewhere(tokens.access_token).then(
      () => { throw new Error('accepted') },
      (error) => equal(error instanceof JwtInvalidClaimError, true),
    )
  })
  await check(say('an ID token for the client that asked, and for no API'), async () => {
    const nonce = oauth.generateRandomNonce()
    const signedIn = await login(tenant, { scope: 'openid orders:read', nonce })
    const { payload } = await jose.jwtVerify(signedIn.id_token, keys, {
      issuer: tenant.issuer, audience: tenant.client_id, algorithms: [tenant.algorithm], typ: 'JWT',
    })
    equal([payload.nonce, payload.sid], [nonce, signedIn.sid])
    await refused(verify(signedIn.id_token), 'ERR_JWT_CLAIM_VALIDATION_FAILED')
    const cache = { jwksCache: new SimpleJwksCache({ fetcher }) }
    await refused(awsVerifier(tenant.issuer, null, cache)(signedIn.id_token), 'not an access token')
    const request = oauth.refreshTokenGrantRequest(server, client, publicClient, signedIn.refresh_token, insecure)
    const next = await oauth.processRefreshTokenResponse(server, client, await request)
    equal(oauth.getValidatedIdTokenClaims(next).sub, payload.sub)
    const asked = await oauth.userInfoRequest(server, client, next.access_token, insecure)
    equal((await oauth.processUserInfoResponse(server, client, payload.sub, asked)).sub, payload.sub)
  })
  await check(say('introspection through introspectionRequest'), async () => {
    const who = { client_id: tenant.confidential.client_id }
    const secret = oauth.ClientSecretBasic(tenant.confidential.client_secret)
    const ask = async (token) => {
      const response = await oauth.introspectionRequest(server, who, secret, token, insecure)
      return oauth.processIntrospectionResponse(server, who, response)
    }
    const told = await ask(tokens.access_token)
    equal([told.active, told.sid, told.client_id], [true, tokens.sid, tenant.client_id])
    equal(await ask(tampered(tokens.access_token)), { active: false })
  })
  await check(say('another audience is refused'), async () => {
    const changes = { audience: 'https://api.elsewhere.example' }
    await refused(verify(tokens.access_token, changes), 'ERR_JWT_CLAIM_VALIDATION_FAILED')
  })
  await check(say('another issuer is refused'), async () => {
    await refused(verify(tokens.access_token, { issuer: other.issuer }), 'ERR_JWT_CLAIM_VALIDATION_FAILED')
  })
  await check(say('another type is refused'), async () => {
    await refused(verify(tokens.access_token, { typ: 'JWT' }), 'ERR_JWT_CLAIM_VALIDATION_FAILED')
  })
  await check(say('a tampered token is refused'), async () => {
    await refused(verify(tampered(tokens.access_token)), 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')
  })
  await check(say("another tenant's keys do not verify it"), async () => {
    await refused(verify(tokens.access_token, {}, foreignKeys), 'ERR_JWKS_NO_MATCHING_KEY')
  })

  const refresh = (who, authentication, token) =>
    oauth.refreshTokenGrantRequest(server, who, authentication, token, insecure)
  const processed = async (response) => oauth.processRefreshTokenResponse(server, client, await response)

  await check(say('refresh through refreshTokenGrantRequest'), async () => {
    spent = tokens.refresh_token
    tokens = await processed(refresh(client, publicClient, spent))
    equal([tokens.token_type, tokens.rotation], ['bearer', { generation: 1, replayed: false }])
    await verify(tokens.access_token)
  })
  await check(say('a lost reply: the retry gets the same successor'), async () => {
    const again = await processed(refresh(client, publicClient, spent))
    equal([again.refresh_token, again.rotation], [tokens.refresh_token, { generation: 1, replayed: true }])
  })
  await check(say('a refresh token of this tenant is nothing at another'), async () => {
    const response = await oauth.discoveryRequest(new URL(other.issuer), { algorithm: 'oauth2', ...insecure })
    const foreign = await oauth.processDiscoveryResponse(new URL(other.issuer), response)
    const stranger = { client_id: other.client_id }
    const request = oauth.refreshTokenGrantRequest(foreign, stranger, publicClient, tokens.refresh_token, insecure)
    const error = await refused(
      request.then((response) => oauth.processRefreshTokenResponse(foreign, stranger, response)),
      'OAUTH_RESPONSE_BODY_ERROR',
    )
    equal([error.error, error.status], ['invalid_grant', 400])
  })
  await check(say('revocation through revocationRequest'), async () => {
    const response = await oauth.revocationRequest(server, client, publicClient, tokens.refresh_token, insecure)
    equal(await oauth.processRevocationResponse(response), undefined)
  })
  await check(say('refresh after revocation gives invalid_grant'), async () => {
    const error = await refused(processed(refresh(client, publicClient, tokens.refresh_token)), 'OAUTH_RESPONSE_BODY_ERROR')
    equal([error.error, error.status, error.cause.client_action], ['invalid_grant', 400, 'reauthenticate'])
  })

  await check(say('a confidential client refreshes by ClientSecretBasic and by ClientSecretPost'), async () => {
    const { client_id, client_secret } = tenant.confidential
    const who = { client_id }
    const response = await fetch(`${tenant.issuer}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...tenant.confidential, username: tenant.username, password: tenant.password }),
    })
    let { refresh_token } = await response.json()
    for (const authentication of [oauth.ClientSecretBasic(client_secret), oauth.ClientSecretPost(client_secret)]) {
      const answer = await oauth.processRefreshTokenResponse(server, who, await refresh(who, authentication, refresh_token))
      refresh_token = answer.refresh_token
    }
    const wrong = refresh(who, oauth.ClientSecretBasic('lhs_wrong'), refresh_token)
    const error = await refused(
      wrong.then((response) => oauth.processRefreshTokenResponse(server, who, response)),
      'OAUTH_WWW_AUTHENTICATE_CHALLENGE',
    )
    equal([error.status, error.cause[0].scheme], [401, 'basic'])
  })
}

const names = Object.keys(tenants)
for (const [index, name] of names.entries()) {
  await walk(name, tenants[name], tenants[names[(index + 1) % names.length]])
}
process.exitCode = failed === 0 ? 0 : 1
