//! Access tokens that the service never issued, signed with the tenant's real key.
//!
//! Only tests can do this: they reach the embedded KMS directly. A verifier that relies on the signature alone takes
//! every one of these tokens; the right one refuses all that differ from what the service issues.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_tests::stack::Stack;
use leasehold_tests::table::{Table, strings};
use leasehold_tests::tenant::Tenant;
use leasehold_tests::token::Jwt;
use serde_json::{Value, json};

use crate::support::ask_kms;

/// Signs in the name of one tenant.
pub struct Forger {
    tenant: Tenant,
    kms: String,
    key: String,
}

impl Forger {
    /// Finds the key of a tenant that signs with `EdDSA`, whose signatures need no conversion.
    pub async fn of(stack: &Stack, tenant: &Tenant) -> Self {
        let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
        let items = table.dump_tenant(&tenant.name).await;
        let key = items.iter().flat_map(strings).find_map(arn).expect("the key's ARN is in the table");
        Self { tenant: tenant.clone(), kms: stack.endpoint("kms"), key }
    }

    /// The compact form of header and claims with a good signature.
    pub async fn sign(&self, jwt: &Jwt) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        self.sign_text(&format!("{}.{}", part(&jwt.header), part(&jwt.claims))).await
    }

    /// Any signing input with a good signature.
    pub async fn sign_text(&self, input: &str) -> String {
        let signature = self.signature(input, "ED25519_SHA_512").await;
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A signature as KMS gives it, by the tenant's key of this algorithm in KMS's words.
    pub async fn signature(&self, input: &str, algorithm: &str) -> Vec<u8> {
        let body = json!({
            "KeyId": self.key, "Message": STANDARD.encode(input), "MessageType": "RAW",
            "SigningAlgorithm": algorithm,
        });
        let reply = ask_kms(&self.tenant.http, &self.kms, "Sign", body).await.expect(200);
        STANDARD.decode(reply.string("Signature")).expect("base64")
    }
}

/// The key's ARN, which may stand alone or inside a stored JSON document.
fn arn(text: &str) -> Option<String> {
    let from = text.find("arn:aws:kms:")?;
    let end = text[from..].find(['"', '\\']).map_or(text.len(), |length| from + length);
    Some(text[from..end].to_owned())
}
