//! What `leasehold-local` prints when it is ready: where everything is, who may sign in, and commands to paste.

use std::path::Path;

use leasehold_local::seed::Seed;

/// Prints it.
pub fn print(seed: &Seed, data: &Path) {
    println!("\nLeasehold answers at {}\n", seed.base_url);
    println!("  DynamoDB   {}", seed.endpoints.dynamodb);
    println!("  KMS        {}", seed.endpoints.kms);
    println!(
        "  Lambda     {}   (AWS_ENDPOINT_URL_LAMBDA; functions: login refresh revoke jwks operator)",
        seed.endpoints.lambda
    );
    println!(
        "  Data       {}   (seed.json has all of this; logs/ has the functions' output)",
        data.display()
    );
    for (name, tenant) in &seed.tenants {
        println!("\n  Tenant {name}   issuer {}   client_id {}", tenant.issuer, tenant.client_id);
        for user in &tenant.users {
            println!("    {:<24} {}   {}", user.username, user.password, user.roles.join(" "));
        }
    }
    if let Some(tenant) = seed.tenants.values().next()
        && let Some(user) = tenant.users.first()
    {
        println!("\nTry it (make demo plays the whole tour):\n");
        println!("  ISS={}", tenant.issuer);
        println!(
            "  curl -s $ISS/login -H 'content-type: application/json' \\\n    -d '{{\"client_id\":\"{}\",\"username\":\"{}\",\"password\":\"{}\"}}'",
            tenant.client_id, user.username, user.password
        );
        println!(
            "  curl -s $ISS/token -d grant_type=refresh_token -d client_id={} -d refresh_token=lhr_…",
            tenant.client_id
        );
        println!("  curl -s $ISS/.well-known/jwks.json");
        println!("  curl -s -i $ISS/revoke -d client_id={} -d token=lhr_…\n", tenant.client_id);
    }
}
