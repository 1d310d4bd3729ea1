//! Starts the `operator` function.

use lambda_runtime::{LambdaEvent, service_fn};
use leasehold::app::App;
use leasehold::config::Config;
use leasehold::password::Hasher;
use leasehold::telemetry;
use leasehold_operator::Operator;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let hasher = Hasher::new(config.hashing)?;
    let operator = Operator { app: App::start(config).await?, hasher };
    let operator = &operator;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        Ok::<_, std::convert::Infallible>(operator.answer(event.payload).await)
    }))
    .await
}
