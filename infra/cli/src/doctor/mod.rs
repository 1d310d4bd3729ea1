//! `leasehold doctor`: what the tenants' keys cost, how much of the region's quota they take, and what does not look
//! right, with the source of every figure.

mod diagnosis;
mod prices;

use clap::Args;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use leasehold::clock;
use serde_json::json;

use crate::commands;
use crate::context::Context;
use crate::failure::Failure;
use crate::operator::At;
use crate::output::{self, Format, Table, time};
use diagnosis::{Diagnosis, Family};

/// How many tenants are asked for at once.
const AT_ONCE: usize = 4;

/// Operator: keys, costs and quotas of the tenants
///
/// For each tenant: custody, keys with states and ages, monthly key rent, what KMS costs per million refreshes in the
/// present custody and the other one, and the share of the region's signing quota at a given rate, with the source of
/// every price and quota.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Tenants to look at [default: all]
    tenants: Vec<String>,
    /// Refreshes a second of each tenant
    #[arg(long, default_value_t = 10.0, value_name = "R", value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    at: At,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("must be 0 or more".to_owned()) }
}

pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let operator = context.operator(&arguments.at)?;
    let tenants = match &arguments.tenants[..] {
        [] => commands::tenants(&operator).await?,
        named => named.to_vec(),
    };
    let now = clock::now().seconds();
    let operator = &operator;
    let found: Vec<Diagnosis> = stream::iter(&tenants)
        .map(|tenant| async move {
            let event = json!({ "op": "tenant.show", "tenant": tenant });
            operator.run(&event).await.map(|shown| Diagnosis::of(&shown, now))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    match context.format() {
        Format::Json => print_json(&found, arguments.rate),
        Format::Text => print(&found, arguments.rate),
    }
    Ok(())
}

/// What all the tenants together take of a quota.
fn total(found: &[Diagnosis], family: Family, rate: f64) -> f64 {
    found.iter().filter(|tenant| tenant.family == family).fold(0.0, |sum, tenant| sum + tenant.share(rate))
}

fn print_json(found: &[Diagnosis], rate: f64) {
    let figures: Vec<_> = prices::FIGURES
        .iter()
        .map(|figure| json!({ "what": figure.what, "value": figure.value, "unit": figure.unit, "source": figure.source }))
        .collect();
    output::json(&json!({
        "rate": rate,
        "tenants": found.iter().map(|tenant| tenant.json(rate)).collect::<Vec<_>>(),
        "quota_share_rsa": total(found, Family::Rsa, rate),
        "quota_share_ecc": total(found, Family::Ecc, rate),
        "figures": figures,
    }));
}

fn print(found: &[Diagnosis], rate: f64) {
    tenants(found, rate).print();
    output::line("");
    keys(found).print();
    output::line("");
    let share = |family| 100.0 * total(found, family, rate);
    output::line(&format!(
        "All of them at {rate} refreshes/s: {:.1} % of the quota of RSA keys, {:.1} % of that of elliptic curves. Key rent: ${:.2} a month.",
        share(Family::Rsa),
        share(Family::Ecc),
        found.iter().map(|tenant| tenant.rent).sum::<f64>(),
    ));
    output::line(
        "$/M: what KMS costs for a million refreshes; gateway, function and table cost the same in both custodies. In \
         custody wrapped, KMS decrypts a key once for each function that starts, and one shared key is rented for the \
         stage.",
    );
    output::line("");
    let mut table = Table::new(["FIGURE", "", "SOURCE"]);
    for figure in prices::FIGURES {
        table.row([
            figure.what.to_owned(),
            format!("{} {}", figure.value, figure.unit),
            figure.source.to_owned(),
        ]);
    }
    table.print();
}

fn tenants(found: &[Diagnosis], rate: f64) -> Table {
    let quota = format!("QUOTA AT {rate}/S");
    let mut table = Table::new([
        "TENANT",
        "STATUS",
        "CUSTODY",
        "ALGORITHM",
        "RENT/MONTH",
        "$/M",
        "$/M OTHERWISE",
        &quota,
        "FINDINGS",
    ]);
    for tenant in found {
        table.row([
            tenant.tenant.clone(),
            tenant.status.clone(),
            tenant.custody.clone(),
            tenant.algorithm.clone(),
            format!("${:.2}", tenant.rent),
            format!("{:.2}", tenant.million()),
            format!("{:.2}", tenant.million_otherwise()),
            format!("{:.1} %", 100.0 * tenant.share(rate)),
            tenant.findings.join("; "),
        ]);
    }
    table
}

fn keys(found: &[Diagnosis]) -> Table {
    let mut table = Table::new(["TENANT", "KID", "STATE", "AGE", "ALGORITHM", "CUSTODY"]);
    for tenant in found {
        for key in &tenant.keys {
            table.row([
                tenant.tenant.clone(),
                key.kid.clone(),
                key.state.clone(),
                time::span(key.age),
                key.algorithm.clone(),
                key.custody.clone(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_two_tables() {
        let shown = json!({"tenant": "acme", "status": "active", "custody": "kms", "algorithm": "RS256", "keys": [
            {"kid": "8Z519", "algorithm": "RS256", "custody": "kms", "state": "active", "published_at": 1_799_740_800},
        ]});
        let found = [Diagnosis::of(&shown, 1_800_000_000)];
        assert_eq!(
            tenants(&found, 50.0).lines(),
            [
                "TENANT  STATUS  CUSTODY  ALGORITHM  RENT/MONTH  $/M   $/M OTHERWISE  QUOTA AT 50/S  FINDINGS",
                "acme    active  kms      RS256      $1.00       3.00  0.00           5.0 %",
            ]
        );
        assert_eq!(
            keys(&found).lines(),
            ["TENANT  KID    STATE   AGE  ALGORITHM  CUSTODY", "acme    8Z519  active  3 d  RS256      kms",]
        );
        assert!((total(&found, Family::Rsa, 50.0) - 0.05).abs() < 1e-9);
        assert!(total(&found, Family::Ecc, 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_a_number_and_not_below_zero() {
        assert_eq!(rate("12.5"), Ok(12.5));
        for text in ["", "-1", "NaN", "inf", "many"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
