//! Starts the `login` function.

use leasehold::app::App;
use leasehold::config::Config;
use leasehold::{http::serve, telemetry};
use leasehold_login::Login;

// One thread for the requests; hashing has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start();
    let login = Login::new(App::start(Config::from_env()?).await?)?;
    serve::run(&login.app, &login, |login, call, note| Box::pin(leasehold_login::handle(login, call, note)))
        .await
}
