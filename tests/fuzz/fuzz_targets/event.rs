//! Whatever API Gateway may hand over becomes a call or is no event; reading its parts never panics.
#![no_main]

use leasehold::http::Call;
use leasehold_fuzz::NOW;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &str| {
    let Ok(request) = lambda_http::request::from_str(event) else { return };
    let call = Call::new(request, NOW);
    let _ = (call.tenant(), call.bearer().is_ok(), call.parameter("sid"), call.query.len());
    if let Some(version) = call.client_version() {
        assert!(version.len() <= 65 && version.is_ascii(), "a version without bounds");
    }
});
