//! Access tokens, and what passes itself off as one. The order is the verifier's.

use serde_json::{Map, Value};

use super::{About, Checks, Explanation, Facts, Kind, SESSION_ENDS, span};
use crate::clock::Timestamp;
use crate::id::Kid;
use crate::keys::{Key, KeyState};
use crate::policy::MAX_ACCESS_TOKEN_SECONDS;
use crate::refresh::FamilyStatus;
use crate::token::identity::ID_TOKEN_TYPE;
use crate::token::verify::{LEEWAY_SECONDS, decode, is_access_token_header, parts};
use crate::token::{AccessClaims, KeySet};

const AFTER_KEY: &[&str] = &["algorithm", "signature"];
const AFTER_SIGNATURE: &[&str] = &[
    "claims",
    "issuer",
    "audience",
    "expiry",
    "not_before",
    "tenant",
    "tenant_epoch",
    "user",
    "user_epoch",
    "session",
];

const AFTER_CLAIMS: &[&str] = AFTER_SIGNATURE.split_at(1).1;

const UNSIGNED: &str = "Nothing in it is believed, since no key of this tenant is known to have signed it.";

/// A text of three parts, decoded.
struct Opened<'a> {
    head: Vec<u8>,
    header: Map<String, Value>,
    payload: Vec<u8>,
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Opened<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let [head, payload, signature] = parts(text).ok()?;
        let message = text.as_bytes().get(..head.len() + 1 + payload.len())?;
        let head = decode(head).ok()?;
        let header = serde_json::from_slice(&head).ok()?;
        Some(Self {
            head,
            header,
            payload: decode(payload).ok()?,
            message,
            signature: decode(signature).ok()?,
        })
    }

    fn member(&self, name: &str) -> &str {
        self.header.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Explains a text of three parts.
pub(super) fn explain(text: &str, facts: Facts<'_>) -> Explanation {
    let mut checks = Checks::default();
    let Some(token) = Opened::of(text) else {
        checks.failed("form", "malformed", "Its first part, the header, is not a JSON object.");
        return Explanation::of(Kind::Unknown, None, checks);
    };
    checks.ok("form", "Three parts of base64url, the first a JSON object.");
    let kind = kind(&token, &mut checks);
    let Some(key) = signed(&token, &facts, &mut checks) else {
        checks.skip_all(AFTER_SIGNATURE, UNSIGNED);
        return Explanation::of(kind, None, checks);
    };
    let Some(claims) = claims(kind, &token.payload, &mut checks) else {
        checks.skip_all(AFTER_CLAIMS, "It does not have the claims of an access token.");
        return Explanation::of(kind, None, checks);
    };
    addressed(&claims, &facts, &mut checks);
    in_time(&claims, facts.now.seconds(), &mut checks);
    alive(&claims, &facts, &mut checks);
    let about = About {
        sub: claims.sub,
        sid: claims.sid,
        client_id: claims.client_id,
        kid: Some(key.kid.clone()),
        iat: Some(claims.iat),
        exp: claims.exp,
        generation: None,
    };
    Explanation::of(kind, Some(about), checks)
}

fn kind(token: &Opened<'_>, checks: &mut Checks) -> Kind {
    if is_access_token_header(&token.head) {
        checks.ok("type", "It is an access token by its header.");
        return Kind::AccessToken;
    }
    if token.member("typ").eq_ignore_ascii_case(ID_TOKEN_TYPE) {
        let detail =
            "It is an ID token or a plain JWT, by its header. APIs take access tokens, whose typ is at+jwt.";
        checks.failed("type", "header", detail);
        return Kind::IdToken;
    }
    let detail =
        "Its header is not that of our access tokens: typ at+jwt, alg and kid, each once, and nothing else.";
    checks.failed("type", "header", detail);
    Kind::Unknown
}

/// The key of this tenant that signed it, whatever became of the key.
fn signed<'a>(token: &Opened<'_>, facts: &Facts<'a>, checks: &mut Checks) -> Option<&'a Key> {
    let ring = &facts.tenant.ring;
    let Some(key) = token.member("kid").parse::<Kid>().ok().and_then(|kid| ring.find(&kid)) else {
        let detail = "No key of this tenant has the id that it names. It is another tenant's or stage's, or made up, or its \
                      key was destroyed long ago.";
        checks.failed("key", "unknown_key", detail);
        checks.skip_all(AFTER_KEY, UNSIGNED);
        return None;
    };
    state(key, facts, checks);
    let algorithm = key.algorithm.name();
    if token.member("alg") == algorithm {
        checks.ok("algorithm", format!("{algorithm}, the one of its key."));
    } else {
        let detail = format!("It names another algorithm than {algorithm}, the one of its key.");
        checks.failed("algorithm", "algorithm", detail);
    }
    let keys = KeySet::whole(ring);
    if keys.find(key.kid.as_str()).is_some_and(|key| key.verifies(token.message, &token.signature)) {
        checks.ok("signature", "It was signed by that key and has not been changed since.");
        Some(key)
    } else {
        checks.failed("signature", "signature", "That key did not sign it: it was changed, cut or forged.");
        None
    }
}

fn state(key: &Key, facts: &Facts<'_>, checks: &mut Checks) {
    match key.state(facts.now) {
        KeyState::Active => checks.ok("key", "Its key signs for this tenant now."),
        KeyState::Pending => checks.ok("key", "Its key is published; it does not sign yet, or not any more."),
        KeyState::Retiring => {
            checks.ok("key", "Its key is published; another one has taken over signing.");
        }
        KeyState::Retired => {
            checks
                .failed("key", "unknown_key", "Its key was retired and is no longer published.")
                .since(key.retire_at);
        }
        KeyState::Compromised => {
            let check = checks.failed("key", "key", "Its key was declared compromised.");
            check.since(key.compromised_at);
            let since = key.compromised_at.unwrap_or(facts.now).minus_seconds(1);
            check.traced(&["key.compromise"], Some(key.kid.to_string()), since);
        }
    }
}

fn claims(kind: Kind, payload: &[u8], checks: &mut Checks) -> Option<AccessClaims> {
    if kind == Kind::IdToken {
        checks.skipped("claims", "They are those of an ID token, if any.");
        return None;
    }
    let Ok(claims) = serde_json::from_slice::<AccessClaims>(payload) else {
        checks.failed("claims", "malformed", "A claim is missing, stands twice or is of another type.");
        return None;
    };
    if claims.exp.saturating_sub(claims.iat) > MAX_ACCESS_TOKEN_SECONDS {
        checks.failed("claims", "malformed", "It claims a longer life than any policy allows.");
    } else {
        checks.ok("claims", "All are there, once and of their types.");
    }
    Some(claims)
}

fn addressed(claims: &AccessClaims, facts: &Facts<'_>, checks: &mut Checks) {
    if claims.iss == facts.issuer && claims.tid == facts.tenant.id {
        checks.ok("issuer", "This tenant, exactly.");
    } else {
        checks.failed("issuer", "issuer", "It names another issuer or tenant than this one.");
    }
    let named = claims.aud.iter().cloned().collect::<Vec<_>>().join(", ");
    match facts.audience {
        None => checks.skipped("audience", format!("No API was named. It is for: {named}.")),
        Some(api) if claims.aud.contains(api) => checks.ok("audience", "It is for this API."),
        Some(_) => {
            checks.failed("audience", "audience", format!("It is not for this API. It is for: {named}."));
        }
    }
}

fn in_time(claims: &AccessClaims, now: u64, checks: &mut Checks) {
    if now >= claims.exp {
        let (ago, life) = (span(now - claims.exp), span(claims.exp.saturating_sub(claims.iat)));
        let detail = format!("It expired {ago} ago, after a life of {life}.");
        checks.failed("expiry", "expired", detail).since(Some(Timestamp::from_seconds(claims.exp)));
    } else {
        let left = span(claims.exp - now);
        let detail = format!(
            "It has {left} left. To an API that finds it expired, suspect the API's clock of being ahead."
        );
        checks.ok("expiry", detail);
    }
    let begins = claims.nbf.unwrap_or(0).max(claims.iat);
    let ahead = begins.saturating_sub(now);
    if ahead > LEEWAY_SECONDS {
        let detail = format!(
            "It begins in {}: clock skew suspected. The clock that issued it is ahead, or the one here is behind.",
            span(ahead)
        );
        checks.failed("not_before", "not_yet_valid", detail);
    } else if ahead > 0 {
        let detail =
            format!("It begins in {ahead} s, within the leeway of {LEEWAY_SECONDS} s: two clocks differ.");
        checks.ok("not_before", detail);
    } else {
        checks.ok("not_before", format!("It was issued {} ago.", span(now.saturating_sub(begins))));
    }
}

fn alive(claims: &AccessClaims, facts: &Facts<'_>, checks: &mut Checks) {
    // A second of a token is coarse: what was ended in it before the session began has not ended this token.
    let begun = facts.family.map(|family| family.created_at);
    let issued = Timestamp::from_seconds(claims.iat).max(begun.unwrap_or(Timestamp::from_millis(0)));
    checks.tenant(facts, issued);
    // The user's own epoch ends a token before its session does.
    checks.epochs((claims.ep.tenant, claims.ep.user), facts, claims.sub, issued);
    checks.user(facts.user, claims.sub, "epoch", issued);
    let sid = Some(claims.sid.to_string());
    match facts.family {
        None => checks.failed("session", "session", "Its session has ended, and its record is gone.").traced(
            SESSION_ENDS,
            sid,
            issued,
        ),
        Some(family) if family.status == FamilyStatus::Revoked => {
            checks.failed("session", "session", "Its session was ended.").traced(SESSION_ENDS, sid, issued);
        }
        Some(family) if !family.is_open(facts.now) => {
            let end = family.idle_expiry.min(family.absolute_expiry);
            checks.failed("session", "session", "Its session has run out.").since(Some(end));
        }
        Some(_) => checks.ok("session", "Its session is open."),
    }
}
