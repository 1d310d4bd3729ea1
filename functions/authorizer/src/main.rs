//! Starts the `authorizer` function.

use lambda_runtime::{LambdaEvent, service_fn};
use leasehold::app::App;
use leasehold::config::Config;
use leasehold::{clock, telemetry};
use leasehold_authorizer::{Authorizer, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start();
    let authorizer = Authorizer::new(App::start(Config::from_env()?).await?)?;
    let authorizer = &authorizer;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        authorizer.answer(&event.payload, clock::now()).await
    }))
    .await
}
