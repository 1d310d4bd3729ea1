//! Requests that may come twice (`Idempotency-Key`). What was created answers the repeated request with the same bytes,
//! secrets included: a secret that is shown once must not be lost with a lost reply.
//!
//! The answer is written in the transaction that creates, sealed under a key that is derived from the caller's
//! `Idempotency-Key`, which is not kept: whoever repeats the request brings the key along, and a dump of the table gives
//! nothing. It must never answer another user, another route or another body.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use http::{HeaderName, StatusCode};
use leasehold::bytes::Bytes;
use leasehold::http::Reply;
use leasehold::secret::sha256;
use leasehold::store::Answer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::seal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long an answer is kept, in seconds.
const KEPT_SECONDS: u64 = 86_400;

/// A request that may come twice, or not.
pub struct Once {
    kept: Option<Kept>,
}

struct Kept {
    request: Bytes<32>,
    body: Bytes<32>,
    key: Zeroizing<[u8; 32]>,
}

/// What is kept of a reply.
#[derive(Serialize, Deserialize)]
struct Stored {
    status: u16,
    body: Value,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl Once {
    /// Reads the header of a request.
    pub fn read(caller: &Caller<'_>) -> Result<Self, Problem> {
        let Some(value) = caller.call.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self { kept: None }) };
        let text = value.to_str().ok().filter(|text| {
            (16..=128).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
        });
        let text = text.ok_or_else(|| {
            Problem::invalid_member("idempotency-key", "16 to 128 visible characters, drawn at random.")
        })?;
        let route = &caller.call.route;
        let place = format!("leasehold answer 1\0{}\0{}\0{route}\0", caller.tenant.id, caller.user.id);
        let request = sha256(&[place.as_bytes(), text.as_bytes()].concat());
        let target: Vec<&str> = ["id", "kid"].iter().filter_map(|name| caller.call.parameter(name)).collect();
        let body = sha256(&[target.join("#").as_bytes(), b"\0", caller.call.body.expose()].concat());
        let mut key = Zeroizing::new([0; 32]);
        let secret = Salt::new(HKDF_SHA256, b"leasehold answer 1").extract(text.as_bytes());
        secret
            .expand(&[place.as_bytes()], Length)
            .and_then(|okm| okm.fill(key.as_mut()))
            .expect("32 bytes are within HKDF's limit");
        Ok(Self { kept: Some(Kept { request: request.into(), body: body.into(), key }) })
    }

    /// The answer that the same request got before, if it came before.
    pub async fn replay(&self, caller: &Caller<'_>) -> Result<Option<Reply>, Problem> {
        let Some(Kept { request, body, key }) = &self.kept else { return Ok(None) };
        let Some(answer) = caller.store.find_answer(request, caller.call.now).await? else { return Ok(None) };
        if answer.body != *body {
            return Err(Problem::idempotency_mismatch());
        }
        let opened = seal::open(key, request.as_ref(), &answer.sealed);
        let stored = opened.and_then(|opened| serde_json::from_slice::<Stored>(&opened).ok());
        let status = stored.as_ref().and_then(|stored| StatusCode::from_u16(stored.status).ok());
        let (Some(stored), Some(status)) = (stored, status) else {
            return Err(Problem::idempotency_mismatch());
        };
        Ok(Some(Reply::json(status, &stored.body).header(REPLAYED, "true")))
    }

    /// The answer to keep, in the transaction that creates what it tells of.
    pub fn answer(&self, caller: &Caller<'_>, status: StatusCode, body: &Value) -> Option<Answer> {
        let Kept { request, body: asked, key } = self.kept.as_ref()?;
        let stored = Stored { status: status.as_u16(), body: body.clone() };
        let text = Zeroizing::new(serde_json::to_vec(&stored).expect("answers are maps with string keys"));
        Some(Answer {
            request: *request,
            body: *asked,
            sealed: seal::seal(key, request.as_ref(), &text),
            until: caller.call.now.plus_seconds(KEPT_SECONDS),
        })
    }
}
