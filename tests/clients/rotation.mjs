// Keys rotate while phones sign in and refresh, and APIs verify what the phones got with jose. The APIs keep a key set as
// long as its max-age says and never fetch it for a key that they do not know: a new key has to have reached them by
// propagation alone. Custody changes with every rotation, from kms to wrapped and back.
//
//   node rotation.mjs <seed.json> <seconds>

import { readFile } from 'node:fs/promises'
import * as jose from 'jose'

const seed = JSON.parse(await readFile(process.argv[2], 'utf8'))
const lasts = Number(process.argv[3]) * 1000
const EVERY = 10_000
const MAX_AGE = 4_000
const PROPAGATION = 5_000
const PHONES = 6
const APIS = 3
const POLL = 100
const AUDIENCE = 'https://api.rotating.example'
const password = 'tidal-Lantern 7 quartz'
const admin = { client_id: 'leasehold-admin', username: 'root-admin', password: 'basalt-Umbrella 3 violin' }

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const spread = (low, high) => low + Math.random() * (high - low)
const began = Date.now()
const running = () => Date.now() - began < lasts
const count = {
  logins: 0, refreshes: 0, verified: 0, own: 0, tampered: 0, rotations: 0, signed: { kms: 0, wrapped: 0 }, unavailable: 0,
}
const wrong = []
const note = (what) => { if (wrong.push(what) <= 10) console.error(what) }

async function operate(event) {
  const url = `${seed.endpoints.lambda}/2015-03-31/functions/operator/invocations`
  const answer = await (await fetch(url, { method: 'POST', body: JSON.stringify(event) })).json()
  if (!answer.ok) throw new Error(`${event.op}: ${JSON.stringify(answer)}`)
  return answer.ok
}

// Our own trouble is 503, to be tried again; on a busy machine it is none of a token's business.
async function send(url, init) {
  for (;;) {
    const sent = Date.now()
    const response = await fetch(url, init)
    if (response.status !== 503) return { sent, status: response.status, body: await response.text() }
    count.unavailable += 1
    await sleep(200)
  }
}

const post = (url, body, token) => send(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
  body: JSON.stringify(body),
})

const { issuer } = await operate({
  op: 'tenant.create', tenant: 'rotating', algorithm: 'ES256',
  policy: {
    access_token_seconds: 10,
    key_propagation_seconds: PROPAGATION / 1000,
    jwks_max_age_seconds: MAX_AGE / 1000,
  },
  clients: [{ client_id: 'app', type: 'public', audiences: [AUDIENCE], scopes: ['read'] }],
  admin: { username: admin.username, password: admin.password },
})
const jwks = new URL(`${issuer}/.well-known/jwks.json`)
for (let n = 0; n < PHONES; n += 1) {
  await operate({ op: 'user.create', tenant: 'rotating', username: `user-${n}`, password })
}

// When each key was certainly published: the end of the first fetch that had it.
const seen = new Map()
async function observe() {
  const { keys } = await (await fetch(jwks)).json()
  for (const { kid } of keys) if (!seen.has(kid)) seen.set(kid, Date.now())
}
await observe()
const [first] = seen.keys()
const custody = new Map([[first, 'kms']])
let leastLead = Infinity

// Looks at who signed a token. It was signed no earlier than it was asked for, and no earlier than it says.
function witness(token, sent) {
  const { kid } = jose.decodeProtectedHeader(token)
  const { iat } = jose.decodeJwt(token)
  count.signed[custody.get(kid)] += 1
  if (kid === first) return
  const lead = Math.max(sent, iat * 1000) - (seen.get(kid) ?? Infinity)
  leastLead = Math.min(leastLead, lead)
  if (!(lead >= PROPAGATION)) note(`signed by ${kid}, which had been published for ${lead} ms`)
}

const apis = Array.from({ length: APIS }, () =>
  jose.createRemoteJWKSet(jwks, { cacheMaxAge: MAX_AGE, cooldownDuration: Number.MAX_SAFE_INTEGER }))
const expected = { issuer, audience: AUDIENCE, algorithms: ['ES256'], typ: 'at+jwt' }
const tamper = (token) => token.replace(/\.([^.]+)\./, (_, payload) => {
  const claims = JSON.parse(Buffer.from(payload, 'base64url'))
  return `.${Buffer.from(JSON.stringify({ ...claims, scope: 'write' })).toString('base64url')}.`
})

async function verify(token, exp, api) {
  try {
    await jose.jwtVerify(token, api, expected)
    count.verified += 1
  } catch (error) {
    // A token that ended while it was looked at is not a valid one that was refused.
    if (Date.now() < exp) note(`refused with ${((exp - Date.now()) / 1000).toFixed(1)} s to live: ${error.code} ${error.message}`)
  }
}

// An API sees a token again and again until it ends.
async function use(token) {
  const exp = jose.decodeJwt(token).exp * 1000
  const api = apis[Math.floor(Math.random() * APIS)]
  await verify(token, exp, api)
  for (const at of [spread(1_000, 5_000), exp - Date.now() - spread(300, 1_500)]) {
    setTimeout(() => { if (Date.now() < exp) verify(token, exp, apis[Math.floor(Math.random() * APIS)]) }, at)
  }
  await jose.jwtVerify(tamper(token), api, expected).then(
    () => note('a tampered token was accepted'),
    () => { count.tampered += 1 },
  )
}

async function phone(n) {
  while (running()) {
    const signedIn = await post(`${issuer}/login`, { client_id: 'app', username: `user-${n}`, password })
    if (signedIn.status !== 200) { note(`login: ${signedIn.status} ${signedIn.body}`); return }
    count.logins += 1
    let tokens = JSON.parse(signedIn.body)
    witness(tokens.access_token, signedIn.sent)
    await use(tokens.access_token)
    for (let step = 0; step < 8 && running(); step += 1) {
      await sleep(spread(100, 500))
      const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'app', refresh_token: tokens.refresh_token })
      const refreshed = await send(`${issuer}/token`, { method: 'POST', body })
      if (refreshed.status !== 200) { note(`refresh: ${refreshed.status} ${refreshed.body}`); break }
      count.refreshes += 1
      tokens = JSON.parse(refreshed.body)
      witness(tokens.access_token, refreshed.sent)
      await use(tokens.access_token)
      // The service verifies too, by its own view of the keys.
      const { status } = await send(`${issuer}/sessions`, { headers: { authorization: `Bearer ${tokens.access_token}` } })
      if (status === 200) count.own += 1
      else if (Date.now() < jose.decodeJwt(tokens.access_token).exp * 1000) note(`GET /sessions: ${status}`)
    }
  }
}

async function rotate() {
  for (let next = began; running(); next += EVERY) {
    await sleep(Math.max(0, next - Date.now()))
    if (!running()) return
    const signedIn = await post(`${issuer}/login`, admin)
    const kind = count.rotations % 2 === 0 ? 'wrapped' : 'kms'
    const { status, body } = await post(`${issuer}/admin/keys/rotate`, { custody: kind }, JSON.parse(signedIn.body).access_token)
    if (status !== 200) { note(`rotation: ${status} ${body}`); continue }
    custody.set(JSON.parse(body).key.kid, kind)
    count.rotations += 1
  }
}

async function poll() {
  while (running()) {
    await observe().catch((error) => note(`key set: ${error.message}`))
    await sleep(POLL)
  }
}

await Promise.all([poll(), rotate(), ...Array.from({ length: PHONES }, (_, n) => phone(n))])
// Tokens that are still looked at.
await sleep(11_000)

const { signed, ...rest } = count
console.log(`      ${JSON.stringify({ seconds: lasts / 1000, ...rest, signed, keys_seen: seen.size, least_lead_ms: leastLead, wrong: wrong.length })}`)
const check = (what, holds) => {
  console.log(`${holds ? 'ok   ' : 'FAIL '} ${what}`)
  if (!holds) process.exitCode = 1
}
check('no valid token was refused, no tampered one accepted, nothing else went wrong', wrong.length === 0)
check(`every key that signed had been published for ${PROPAGATION / 1000} s`, leastLead >= PROPAGATION)
check('keys rotated as planned', count.rotations >= Math.floor(lasts / EVERY))
check('keys of both custodies signed', signed.kms > 0 && signed.wrapped > 0)
check('there was load', count.logins >= PHONES && count.refreshes > count.logins && count.own > 0 && count.tampered > 0 && count.verified > count.refreshes)
