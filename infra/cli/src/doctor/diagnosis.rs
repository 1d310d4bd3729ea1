//! What the figures of a tenant mean in money and in quota. Pure.

use serde_json::{Value, json};

use super::prices::{Figure, KEY_MONTH, QUOTA_ECC, QUOTA_RSA, SIGN_ECC, SIGN_RSA};

/// Which of the region's quotas a signature counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RSA keys.
    Rsa,
    /// Elliptic-curve keys, Ed25519 among them.
    Ecc,
}

impl Family {
    fn of(algorithm: &str) -> Self {
        if algorithm.starts_with("RS") { Self::Rsa } else { Self::Ecc }
    }

    const fn price(self) -> &'static Figure {
        match self {
            Self::Rsa => &SIGN_RSA,
            Self::Ecc => &SIGN_ECC,
        }
    }

    const fn quota(self) -> &'static Figure {
        match self {
            Self::Rsa => &QUOTA_RSA,
            Self::Ecc => &QUOTA_ECC,
        }
    }
}

/// A tenant in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Its id.
    pub tenant: String,
    /// Its status.
    pub status: String,
    /// The custody of the key that signs, or will.
    pub custody: String,
    /// The algorithm of that key.
    pub algorithm: String,
    /// Its keys: id, custody, state, age in seconds.
    pub keys: Vec<Key>,
    /// What its KMS keys cost a month, in dollars.
    pub rent: f64,
    /// What KMS costs for a million refreshes in custody `kms`, in dollars.
    pub kms_million: f64,
    /// Which quota it would count against.
    pub family: Family,
    /// What does not look right.
    pub findings: Vec<String>,
}

/// A key in the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Its custody.
    pub custody: String,
    /// Its state.
    pub state: String,
    /// Seconds since it was published.
    pub age: u64,
}

/// A key that signs for longer than a year is worth a word.
const OLD: u64 = 365 * 86_400;

impl Diagnosis {
    /// What `tenant.show` says, in figures.
    pub fn of(shown: &Value, now: u64) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let raw = shown["keys"].as_array().map_or(&[][..], Vec::as_slice);
        let keys: Vec<Key> = raw
            .iter()
            .map(|key| Key {
                kid: text(&key["kid"]),
                algorithm: text(&key["algorithm"]),
                custody: text(&key["custody"]),
                state: text(&key["state"]),
                age: now.saturating_sub(key["published_at"].as_u64().unwrap_or(now)),
            })
            .collect();
        let active = keys.iter().find(|key| key.state == "active");
        let custody = active.map_or_else(|| text(&shown["custody"]), |key| key.custody.clone());
        let algorithm = active.map_or_else(|| text(&shown["algorithm"]), |key| key.algorithm.clone());
        // A key that is scheduled for deletion is not charged; a disabled one is (KMS pricing page, same copy).
        let charged = raw.iter().filter(|key| key["custody"] == "kms" && key["destroying_at"].is_null());
        let family = Family::of(&algorithm);
        let mut findings = Vec::new();
        let status = text(&shown["status"]);
        match active {
            None if status == "active" => findings.push("no key signs".to_owned()),
            Some(key) if key.age > OLD => {
                findings.push(format!("the key that signs is {} days old", key.age / 86_400));
            }
            _ => {}
        }
        if let Some(next) = shown["custody"].as_str().filter(|next| *next != custody) {
            findings.push(format!("the next key will be {next}"));
        }
        let compromised = keys.iter().filter(|key| key.state == "compromised").count();
        if compromised > 0 {
            findings.push(format!("{compromised} compromised"));
        }
        #[expect(clippy::cast_precision_loss, reason = "a tenant has a handful of keys")]
        let rent = KEY_MONTH.value * charged.count() as f64;
        Self {
            tenant: text(&shown["tenant"]),
            status,
            custody,
            algorithm,
            rent,
            kms_million: family.price().value * 100.0,
            family,
            keys,
            findings,
        }
    }

    /// What KMS costs for a million refreshes as it is.
    pub fn million(&self) -> f64 {
        if self.signs_in_kms() { self.kms_million } else { 0.0 }
    }

    /// What it would cost in the other custody.
    pub fn million_otherwise(&self) -> f64 {
        if self.signs_in_kms() { 0.0 } else { self.kms_million }
    }

    /// The share of the region's quota that so many refreshes a second take.
    pub fn share(&self, rate: f64) -> f64 {
        if self.signs_in_kms() { rate / self.family.quota().value } else { 0.0 }
    }

    fn signs_in_kms(&self) -> bool {
        self.custody == "kms"
    }

    /// For scripts.
    pub fn json(&self, rate: f64) -> Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                json!({
                    "kid": key.kid, "algorithm": key.algorithm, "custody": key.custody, "state": key.state,
                    "age_seconds": key.age,
                })
            })
            .collect();
        json!({
            "tenant": self.tenant,
            "status": self.status,
            "custody": self.custody,
            "algorithm": self.algorithm,
            "keys": keys,
            "key_rent_per_month": self.rent,
            "kms_cost_per_million_refreshes": self.million(),
            "kms_cost_per_million_refreshes_in_other_custody": self.million_otherwise(),
            "quota_share": self.share(rate),
            "findings": self.findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(kid: &str, algorithm: &str, custody: &str, state: &str, days: u64) -> Value {
        json!({"kid": kid, "algorithm": algorithm, "custody": custody, "state": state, "published_at": NOW - days * 86_400})
    }

    fn tenant(custody: &str, keys: &[Value]) -> Value {
        json!({"tenant": "acme", "status": "active", "algorithm": "RS256", "custody": custody, "keys": keys})
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn rsa_in_kms_costs_rent_signatures_and_quota() {
        let keys = [key("a", "RS256", "kms", "active", 10), key("b", "RS256", "kms", "retiring", 40)];
        let found = Diagnosis::of(&tenant("kms", &keys), NOW);
        assert!(
            close(found.rent, 2.0) && close(found.million(), 3.0) && close(found.million_otherwise(), 0.0)
        );
        assert!(close(found.share(250.0), 0.25));
        assert_eq!(found.keys.iter().map(|key| key.age / 86_400).collect::<Vec<_>>(), [10, 40]);
        assert!(found.findings.is_empty(), "{:?}", found.findings);
    }

    #[test]
    fn elliptic_curves_cost_five_times_as_much() {
        let found = Diagnosis::of(&tenant("kms", &[key("a", "EdDSA", "kms", "active", 1)]), NOW);
        assert!(close(found.million(), 15.0));
        assert_eq!(found.family, Family::Ecc);
    }

    #[test]
    fn wrapped_takes_neither_rent_nor_quota() {
        let found = Diagnosis::of(&tenant("wrapped", &[key("a", "ES256", "wrapped", "active", 1)]), NOW);
        assert!(close(found.rent, 0.0) && close(found.million(), 0.0) && close(found.share(900.0), 0.0));
        assert!(close(found.million_otherwise(), 15.0));
    }

    #[test]
    fn the_key_that_signs_decides_and_what_is_odd_is_told() {
        let mut going = key("c", "RS256", "kms", "retired", 300);
        going["destroying_at"] = json!(NOW);
        let keys =
            [key("a", "RS256", "kms", "active", 400), key("b", "ES256", "wrapped", "pending", 1), going];
        let found = Diagnosis::of(&tenant("wrapped", &keys), NOW);
        assert_eq!(found.custody, "kms");
        assert!(close(found.rent, 1.0), "a key on its way out is not charged");
        assert_eq!(found.findings, ["the key that signs is 400 days old", "the next key will be wrapped"]);
        let none = Diagnosis::of(&tenant("kms", &[key("a", "RS256", "kms", "compromised", 1)]), NOW);
        assert_eq!(none.findings, ["no key signs", "1 compromised"]);
        let empty = Diagnosis::of(&json!({}), NOW);
        assert!(empty.keys.is_empty() && close(empty.rent, 0.0));
    }
}
