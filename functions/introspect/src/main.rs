//! Starts the `introspect` function.

use leasehold::app::App;
use leasehold::config::Config;
use leasehold::{http::serve, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start();
    let app = App::start(Config::from_env()?).await?;
    serve::run(&app, &app, |app, call, note| Box::pin(leasehold_introspect::handle(app, call, note))).await
}
