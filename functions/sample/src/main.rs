//! Starts the `sample` function.

use std::convert::Infallible;

use lambda_http::{Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda_http::run(service_fn(async |request: Request| {
        Ok::<_, Infallible>(leasehold_sample::handle(&request))
    }))
    .await
}
