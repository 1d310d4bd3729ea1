//! Whatever API Gateway may hand over becomes a call or is no event; reading its parts never panics.
#![no_main]

use lambda_http::request::LambdaRequest;
use leasehold::http::Call;
use leasehold::http::serve::make_readable;
use leasehold_fuzz::NOW;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &str| {
    let Ok(mut event) = serde_json::from_str::<LambdaRequest>(event) else { return };
    // As the edge does with every event.
    make_readable(&mut event);
    let request = lambda_http::Request::from(event);
    let call = Call::new(request, NOW);
    let _ = (call.tenant(), call.bearer().is_ok(), call.parameter("sid"), call.query.len());
    if let Some(version) = call.client_version() {
        assert!(version.len() <= 65 && version.is_ascii(), "a version without bounds");
    }
});
