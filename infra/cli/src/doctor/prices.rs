//! Prices and quotas of AWS KMS, each with where it was read. None was checked against a bill or an account: what a
//! region charges and what an account is allowed may differ.

/// A figure and its source.
pub struct Figure {
    /// What it is of.
    pub what: &'static str,
    /// The figure, in its unit.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Where and when it was read.
    pub source: &'static str,
}

const PRICES: &str = "aws.amazon.com/kms/pricing, stored copy, November 2026; not checked against AWS";
const QUOTAS: &str = "AWS KMS Developer Guide, Request quotas, stored copy, November 2026; older copies say 500 and 300; \
                      not checked against AWS; adjustable";

/// A KMS key for a month.
pub const KEY_MONTH: Figure = Figure { what: "KMS key", value: 1.0, unit: "$ a month", source: PRICES };
/// Signatures with RSA 2048.
pub const SIGN_RSA: Figure =
    Figure { what: "Sign, RSA_2048", value: 0.03, unit: "$ for 10,000", source: PRICES };
/// Signatures with elliptic curves.
pub const SIGN_ECC: Figure =
    Figure { what: "Sign, elliptic curves", value: 0.15, unit: "$ for 10,000", source: PRICES };
/// Symmetric requests, of which `wrapped` makes one for each function that starts.
pub const DECRYPT: Figure =
    Figure { what: "Decrypt, symmetric", value: 0.03, unit: "$ for 10,000", source: PRICES };
/// RSA signatures of an account and region.
pub const QUOTA_RSA: Figure =
    Figure { what: "Sign, all RSA keys together", value: 1000.0, unit: "a second", source: QUOTAS };
/// Elliptic-curve signatures of an account and region.
pub const QUOTA_ECC: Figure = Figure {
    what: "Sign, all elliptic-curve keys together",
    value: 1000.0,
    unit: "a second",
    source: QUOTAS,
};

/// All of them, as the report shows them.
pub const FIGURES: [&Figure; 6] = [&KEY_MONTH, &SIGN_RSA, &SIGN_ECC, &DECRYPT, &QUOTA_RSA, &QUOTA_ECC];
