//! The administration of a tenant, by its admins.

mod audit;
mod clients;
mod crash;
mod explain;
mod import;
mod keys;
mod life;
mod once;
mod paging;
mod policy;
mod rights;
mod sessions;
mod users;
mod wrapped;
