//! Black-box tests over the running stack; a module per function, a test per requirement.

mod agreement;
mod aws_calls;
mod cors;
mod crash;
mod dead_port;
mod epochs;
mod forge;
mod hostile;
mod isolation;
mod jwks;
mod kept;
mod kms_outage;
mod layering;
mod login;
mod operator;
mod outage;
mod password;
mod refresh;
mod restart;
mod revoke;
mod secrets;
mod sessions;
mod support;
mod template;
mod tenancy;
mod world;
