//! Signatures of requests to S3, and where keys come from.
//!
//! Both are those of `reqsign`: the environment, the profile (`AWS_PROFILE`, `~/.aws`), single sign-on, a web identity
//! (IRSA), the container's role, the instance's role (`IMDSv2`). Programs that a profile names are not run. Nothing is asked
//! before the first request to an `s3://` address.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{Context, FileRead, HttpSend, OsEnv, Signer};
use ureq::http::request::Parts;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// What a server of keys answers is short.
const MAX_ANSWER: u64 = 1 << 20;
/// For how long it is waited for one; where there is none, nobody answers.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Signing(Mutex<In>);

/// The region that requests are signed for.
struct In {
    region: String,
    signer: Signer<Credential>,
}

impl Signing {
    pub(crate) fn new(region: &str) -> Self {
        let context = Context::new().with_file_read(Files).with_http_send(Servers::new()).with_env(OsEnv);
        let provider = DefaultCredentialProvider::builder().no_process().build();
        Self::with(region, Signer::new(context, provider, RequestSigner::new("s3", region)))
    }

    fn with(region: &str, signer: Signer<Credential>) -> Self {
        Self(Mutex::new(In { region: region.to_owned(), signer }))
    }

    /// With keys of nobody.
    #[cfg(test)]
    pub(crate) fn of_test(region: &str) -> Self {
        let provider = reqsign_aws_v4::StaticCredentialProvider::new("KEY", "SECRET");
        Self::with(region, Signer::new(Context::new(), provider, RequestSigner::new("s3", region)))
    }

    fn state(&self) -> MutexGuard<'_, In> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn region(&self) -> String {
        self.state().region.clone()
    }

    /// Signs for another region from now on. Whether that is another.
    pub(crate) fn move_to(&self, region: &str) -> bool {
        let mut state = self.state();
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if state.region == region || region.is_empty() || !region.bytes().all(is_region) {
            return false;
        }
        region.clone_into(&mut state.region);
        // Keys are kept: both share them.
        state.signer = state.signer.clone().with_request_signer(RequestSigner::new("s3", region));
        true
    }

    /// Adds the headers that say who asks.
    pub(crate) fn sign(&self, request: &mut Parts) -> Result<(), String> {
        let signer = self.state().signer.clone();
        // Of the error only its kind: what stands in its text is not in our hands.
        pollster::block_on(signer.sign(request, None)).map_err(|error| format!("{:?}", error.kind()))
    }
}

/// Reads the files that keys and tokens are in.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        std::fs::read(path).map_err(|error| reqsign_core::Error::config_invalid(error.kind().to_string()))
    }
}

/// Asks servers of keys.
#[derive(Debug)]
struct Servers {
    agent: Agent,
}

impl Servers {
    fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // The instance's own address is not behind any.
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .tls_config(crate::tls())
            .build();
        Self { agent: config.into() }
    }

    fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let response: Response<Body> = self.agent.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, body) = response.into_parts();
        let bytes = body.into_with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

impl HttpSend for Servers {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        self.ask(request).map_err(|_| reqsign_core::Error::unexpected("no answer"))
    }
}
