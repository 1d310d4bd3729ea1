//! Starts the `authorizer` function.

use lambda_runtime::{LambdaEvent, service_fn};
use leasehold::app::App;
use leasehold::config::Config;
use leasehold::{clock, ending, telemetry};
use leasehold_authorizer::{Authorizer, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start();
    let app = App::start(Config::from_env()?).await?;
    ending::flush_at_the_end(&app).await;
    let authorizer = Authorizer::new(app)?;
    let authorizer = &authorizer;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        authorizer.answer(&event.payload, clock::now()).await
    }))
    .await
}
