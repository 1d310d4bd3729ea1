//! What `leasehold-local` prints when it is ready: where everything is, who may sign in, and commands to paste.

use std::path::Path;

use leasehold_local::seed::Seed;

/// Prints it.
pub fn print(seed: &Seed, data: &Path) {
    say!("\nLeasehold answers at {}\n", seed.base_url);
    say!("  DynamoDB   {}", seed.endpoints.dynamodb);
    say!("  KMS        {}", seed.endpoints.kms);
    say!(
        "  Lambda     {}   (AWS_ENDPOINT_URL_LAMBDA; functions: login refresh revoke jwks authorizer operator)",
        seed.endpoints.lambda
    );
    say!("  Data       {}   (seed.json has all of this; logs/ has the functions' output)", data.display());
    for (name, tenant) in &seed.tenants {
        say!("\n  Tenant {name}   issuer {}   client_id {}", tenant.issuer, tenant.client_id);
        for user in &tenant.users {
            say!("    {:<24} {}   {}", user.username, user.password, user.roles.join(" "));
        }
    }
    if let Some(tenant) = seed.tenants.values().next()
        && let Some(user) = tenant.users.first()
    {
        say!("\nTry it (make demo plays the whole tour):\n");
        say!("  ISS={}", tenant.issuer);
        say!(
            "  curl -s $ISS/login -H 'content-type: application/json' \\\n    -d '{{\"client_id\":\"{}\",\"username\":\"{}\",\"password\":\"{}\"}}'",
            tenant.client_id,
            user.username,
            user.password
        );
        say!(
            "  curl -s $ISS/token -d grant_type=refresh_token -d client_id={} -d refresh_token=lhr_…",
            tenant.client_id
        );
        say!("  curl -s $ISS/.well-known/jwks.json");
        say!("  curl -s -i $ISS/revoke -d client_id={} -d token=lhr_…", tenant.client_id);
        say!(
            "\nA protected API behind the authorizer (200, 401 and 403; shared/docs/verify.md tells the rest):\n"
        );
        say!("  curl -s -i $ISS/sample/orders -H 'authorization: Bearer eyJ…'");
        say!("  curl -s -i $ISS/sample/me\n");
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name("leasehold"));
        if let (Some(command), Some(name)) = (beside.filter(|path| path.exists()), seed.tenants.keys().next())
        {
            say!("As operator, and as admin of {name}:\n");
            say!("  alias leasehold='{} --local={}'", command.display(), data.display());
            say!("  leasehold tenant list; leasehold login --as {name}; leasehold keys list\n");
        }
    }
}
