//! What the environment says about servers.

use std::ffi::OsString;
use std::time::Duration;

/// How servers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A store that is not Amazon's: its buckets are paths below this. `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`; a server that knows better is believed.
    pub region: String,
    /// How often one thing is asked for before it is lost.
    pub attempts: u32,
    /// The time between the first two attempts; it doubles.
    pub pause: Duration,
    /// How long a server may stay silent.
    pub timeout: Duration,
}

impl Settings {
    /// Reads variables through `get`.
    #[must_use]
    pub fn read(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let get = |name: &str| get(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let endpoint = get("AWS_ENDPOINT_URL_S3").or_else(|| get("AWS_ENDPOINT_URL"));
        let region = get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION"));
        Self {
            endpoint: endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            attempts: 7,
            pause: Duration::from_millis(100),
            timeout: Duration::from_secs(30),
        }
    }

    /// The URL of a bucket's object, or of the bucket, whose path is encoded already.
    pub(crate) fn url(&self, region: &str, bucket: &str, path: &str) -> String {
        if let Some(endpoint) = &self.endpoint {
            return format!("{endpoint}/{bucket}/{path}");
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        // A certificate is good for one level of names.
        if bucket.contains(['.', '_']) {
            format!("https://s3.{region}.{domain}/{bucket}/{path}")
        } else {
            format!("https://{bucket}.s3.{region}.{domain}/{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_regions() {
        let read = |variables: &[(&str, &str)]| {
            Settings::read(|name| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| value.into()))
        };
        let amazon = read(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-central-1")]);
        assert_eq!(amazon.region, "eu-central-1");
        assert_eq!(amazon.url("eu-central-1", "b", "a%20b"), "https://b.s3.eu-central-1.amazonaws.com/a%20b");
        assert_eq!(amazon.url("cn-north-1", "a.b", "k"), "https://s3.cn-north-1.amazonaws.com.cn/a.b/k");
        let own = read(&[("AWS_ENDPOINT_URL", "https://store:9000/")]);
        assert_eq!((own.region.as_str(), own.url("x", "b", "k").as_str()), ("us-east-1", "https://store:9000/b/k"));
    }
}
