//! Two tenants to play with, made through the operator function as an operator would make them. Passwords are random
//! per data folder (ASVS 6.3.2: no default accounts) and are kept before they are used, so that a crash in between is
//! harmless. `seed.json` appears only when everything in it is true.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::ClientError;
use crate::stack::Stack;
use crate::{files, random};

/// What scripts read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seed {
    /// Where clients reach the service.
    pub base_url: String,
    /// The embedded services.
    pub endpoints: Endpoints,
    /// By tenant.
    pub tenants: BTreeMap<String, Tenant>,
}

/// The embedded services.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoints {
    /// DynamoDB.
    pub dynamodb: String,
    /// KMS.
    pub kms: String,
    /// Lambda's Invoke API.
    pub lambda: String,
}

/// One seeded tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// `{base_url}/t/{tenant}`.
    pub issuer: String,
    /// Its public client.
    pub client_id: String,
    /// The ordinary user first.
    pub users: Vec<User>,
}

/// One seeded user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub username: String,
    /// Random per data folder.
    pub password: String,
    /// Roles.
    pub roles: Vec<String>,
}

/// Why seeding failed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A file of the data folder.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The Invoke API did not answer.
    #[error("the operator function cannot be called: {0}")]
    Call(#[from] ClientError),
    /// The operator function refused.
    #[error("operator {op} for {tenant} failed: {answer}")]
    Refused {
        /// The command.
        op: &'static str,
        /// The tenant.
        tenant: &'static str,
        /// What it said.
        answer: String,
    },
    /// The tenants are there and their passwords are not.
    #[error("the table has tenant {tenant}, but {} does not have its passwords; delete the data folder to start afresh", path.display())]
    PasswordsLost {
        /// The tenant.
        tenant: &'static str,
        /// The file of passwords.
        path: PathBuf,
    },
}

struct Plan {
    tenant: &'static str,
    algorithm: &'static str,
    user: &'static str,
}

const PLANS: [Plan; 2] = [
    Plan { tenant: "acme", algorithm: "RS256", user: "ada" },
    Plan { tenant: "globex", algorithm: "ES256", user: "grace" },
];

/// Makes the tenants that are not there yet and writes `seed.json`.
pub async fn plant(stack: &Stack, data: &Path, policy: Option<&Value>) -> Result<Seed, SeedError> {
    let mut passwords = Passwords::load(&data.join("passwords.json"))?;
    let mut tenants = BTreeMap::new();
    for plan in &PLANS {
        let tenant = plant_tenant(stack, plan, &mut passwords, policy).await?;
        tenants.insert(plan.tenant.to_owned(), tenant);
    }
    announce(stack, data, tenants)
}

/// Writes `seed.json` for a stack with these tenants; it tells scripts that everything answers.
pub fn announce(stack: &Stack, data: &Path, tenants: BTreeMap<String, Tenant>) -> Result<Seed, SeedError> {
    let endpoints = Endpoints {
        dynamodb: stack.dynamodb_url(),
        kms: stack.kms_url(),
        lambda: stack.lambda_url().to_owned(),
    };
    let seed = Seed { base_url: stack.base_url().to_owned(), endpoints, tenants };
    save(&data.join("seed.json"), &seed)?;
    Ok(seed)
}

async fn plant_tenant(
    stack: &Stack,
    plan: &Plan,
    passwords: &mut Passwords,
    policy: Option<&Value>,
) -> Result<Tenant, SeedError> {
    let Plan { tenant, algorithm, user } = *plan;
    let client_id = format!("{tenant}-app");
    let (user, admin) = (format!("{user}@{tenant}.example"), format!("admin@{tenant}.example"));
    let (user_password, _) = passwords.of(&user);
    let (admin_password, fresh) = passwords.of(&admin);
    passwords.save()?;

    let mut create = json!({
        "op": "tenant.create",
        "tenant": tenant,
        "algorithm": algorithm,
        "clients": [{
            "client_id": client_id,
            "type": "public",
            "audiences": [format!("https://api.{tenant}.example")],
            "scopes": ["openid", "orders:read", "orders:write", "profile", "offline_access"],
            "origins": ["http://localhost:5173"],
        }],
        "admin": {"username": admin, "password": admin_password},
    });
    if let Some(policy) = policy {
        create["policy"] = policy.clone();
    }
    if operate(stack, "tenant.create", tenant, &create).await? == Made::Earlier && fresh {
        return Err(SeedError::PasswordsLost { tenant, path: passwords.path.clone() });
    }
    let member = json!({
        "op": "user.create",
        "tenant": tenant,
        "username": user,
        "password": user_password,
        "roles": ["member"],
    });
    operate(stack, "user.create", tenant, &member).await?;
    let known = |username: String, password: String, role: &str| User {
        username,
        password,
        roles: vec![role.to_owned()],
    };
    Ok(Tenant {
        issuer: format!("{}/t/{tenant}", stack.base_url()),
        client_id,
        users: vec![known(user, user_password, "member"), known(admin, admin_password, "admin")],
    })
}

#[derive(PartialEq, Eq)]
enum Made {
    Now,
    Earlier,
}

async fn operate(
    stack: &Stack,
    op: &'static str,
    tenant: &'static str,
    event: &Value,
) -> Result<Made, SeedError> {
    let reply = stack.invoke("operator", event).await?;
    let answer = reply.json();
    if answer.get("ok").is_some() {
        return Ok(Made::Now);
    }
    if answer["error"]["code"] == "already_exists" {
        return Ok(Made::Earlier);
    }
    Err(SeedError::Refused { op, tenant, answer: String::from_utf8_lossy(&reply.body).into_owned() })
}

/// Passwords by user name, in a file of their own.
struct Passwords {
    path: PathBuf,
    by_user: BTreeMap<String, String>,
}

impl Passwords {
    fn load(path: &Path) -> Result<Self, SeedError> {
        let failed = |cause| SeedError::File { path: path.to_owned(), cause };
        let by_user = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path: path.to_owned(), by_user })
    }

    /// A user's password, and whether it was drawn just now.
    fn of(&mut self, user: &str) -> (String, bool) {
        if let Some(password) = self.by_user.get(user) {
            return (password.clone(), false);
        }
        let password = random::password();
        self.by_user.insert(user.to_owned(), password.clone());
        (password, true)
    }

    fn save(&self) -> Result<(), SeedError> {
        save(&self.path, &self.by_user)
    }
}

fn save(path: &Path, content: &impl Serialize) -> Result<(), SeedError> {
    let failed = |cause| SeedError::File { path: path.to_owned(), cause };
    let mut text = serde_json::to_vec_pretty(content).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    files::write_private(path, &text).map_err(failed)
}
