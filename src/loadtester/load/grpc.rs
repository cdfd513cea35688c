//! Calls over gRPC, without a description of the service: either the health check that every gRPC server may have
//! (`grpc.health.v1.Health/Check`), or any method with a message that has been encoded elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Version};
use http_body_util::BodyExt as _;
use url::Url;

use super::super::payload::{Metadata, shortened};
use super::report::Code;
use crate::model::answer::excerpt;

/// What is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Grpc {
    /// The message of each call, with the prefix that says how long it is.
    frame: Bytes,
    /// Whether the answer is that of a health check.
    health: bool,
}

/// The address of a gRPC server as that of a web server, which has the same parts and the same rules; none if it is another
/// address.
pub fn address(text: &str) -> Option<String> {
    let scheme = text.get(..text.find("://")?)?.to_ascii_lowercase();
    let web = match scheme.as_str() {
        "grpc" => "http",
        "grpcs" => "https",
        _ => return None,
    };
    Some(format!("{web}{}", &text[scheme.len()..]))
}

impl Grpc {
    /// What the hook wants to be called; makes `url` that of the method.
    ///
    /// # Errors
    /// If it is no method, or the message cannot be had.
    pub fn read(metadata: &Metadata, url: &mut Url) -> Result<Self, String> {
        for (key, instead) in
            [("method", "write the method into the url"), ("body", "write bodyBase64, a message in protobuf")]
        {
            if metadata.contains_key(key) {
                return Err(format!("metadata {key} is for HTTP: {instead}"));
            }
        }
        let path = url.path().trim_matches('/').to_owned();
        if url.query().is_some() {
            return Err("metadata url: a gRPC method has no parameters".to_owned());
        }
        if !path.is_empty() && path.split('/').filter(|part| !part.is_empty()).count() != 2 {
            return Err(format!(
                "metadata url: {:?} is no gRPC method: write package.Service/Method, or nothing for the health check",
                shortened(&path)
            ));
        }
        let health = path.is_empty() || path == HEALTH_CHECK;
        let message = match (metadata.get("bodyBase64"), metadata.get("service")) {
            (Some(_), Some(_)) => return Err("metadata service and bodyBase64 exclude each other".to_owned()),
            (Some(text), None) => BASE64.decode(text.trim()).map_err(|error| {
                format!("metadata bodyBase64={:?}: it is no base64: {error}", shortened(text))
            })?,
            (None, Some(_)) if !health => {
                return Err("metadata service is for the health check: leave it out".to_owned());
            }
            (None, Some(service)) if service.len() > LONGEST_SERVICE => {
                return Err(format!("metadata service is longer than {LONGEST_SERVICE} bytes"));
            }
            (None, Some(service)) => asking_about(service),
            (None, None) => Vec::new(),
        };
        if health {
            url.set_path(HEALTH_CHECK);
        } else {
            url.set_path(&path);
        }
        let length =
            u32::try_from(message.len()).map_err(|_| "metadata bodyBase64 is too long".to_owned())?;
        let mut frame = BytesMut::with_capacity(message.len() + PREFIX);
        frame.put_u8(0);
        frame.put_u32(length);
        frame.put_slice(&message);
        Ok(Self { frame: frame.freeze(), health })
    }

    /// Makes one call and reads its answer to the end.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn call(
        &self,
        client: &reqwest::Client,
        url: &Url,
        headers: &HeaderMap,
    ) -> reqwest::Result<Code> {
        let request = client
            .post(url.clone())
            .version(Version::HTTP_2)
            .headers(headers.clone())
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(self.frame.clone());
        let (head, mut body) = http::Response::from(request.send().await?).into_parts();
        let (mut first, mut end) = (Vec::new(), head.headers.clone());
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    let room = KEPT.saturating_sub(first.len());
                    first.extend_from_slice(&data[..data.len().min(room)]);
                }
                Err(frame) => end.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        if !head.status.is_success() {
            return Ok(Code::http(head.status.as_u16()).with("what answers is no gRPC server"));
        }
        Ok(self.meaning(&first, &end))
    }

    /// What an answer means that ends with `end`, and begins with `first`.
    fn meaning(&self, first: &[u8], end: &HeaderMap) -> Code {
        let status = end.get("grpc-status").and_then(|status| status.to_str().ok()?.parse::<usize>().ok());
        let Some(status) = status else {
            return Code::bad("UNKNOWN").with("the answer has no grpc-status");
        };
        if status != 0 {
            let said = end.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
            return Code::bad(STATUSES.get(status).unwrap_or(&"UNKNOWN")).with(&excerpt(said, SHOWN));
        }
        if !self.health {
            return Code::good("OK");
        }
        // The one field of the answer: 1 for a server that serves.
        match first.get(PREFIX..) {
            Some([0x08, 1, ..]) => Code::good("OK"),
            _ => Code::bad("NOT_SERVING").with("the health check says that it does not serve"),
        }
    }
}

/// The message that asks about one service: its name is field 1.
fn asking_about(service: &str) -> Vec<u8> {
    let mut message = vec![0x0a];
    let mut length = service.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(service.as_bytes());
    message
}

/// The codes of gRPC by their numbers.
pub const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const HEALTH_CHECK: &str = "grpc.health.v1.Health/Check";
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// How much of an answer is kept.
const KEPT: usize = 64;
const SHOWN: usize = 200;
const LONGEST_SERVICE: usize = 1000;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(url: &str, pairs: &[(&str, &str)]) -> Result<(Grpc, Url), String> {
        let metadata = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut url = Url::parse(&address(url).expect("an address")).expect("a URL");
        Grpc::read(&metadata, &mut url).map(|grpc| (grpc, url))
    }

    #[rstest]
    #[case::health("grpc://shop.test:9090", &[], "http://shop.test:9090/grpc.health.v1.Health/Check", b"\0\0\0\0\0")]
    #[case::of_a_service("grpcs://shop.test/", &[("service", "shop.Cart")], "https://shop.test/grpc.health.v1.Health/Check", b"\0\0\0\0\x0b\x0a\x09shop.Cart")]
    #[case::method("GRPC://shop.test/shop.Cart/Add", &[("bodyBase64", "CAE=\n")], "http://shop.test/shop.Cart/Add", b"\0\0\0\0\x02\x08\x01")]
    #[case::nothing_sent("grpc://shop.test/shop.Cart/List", &[], "http://shop.test/shop.Cart/List", b"\0\0\0\0\0")]
    fn a_hook_says_what_is_called(
        #[case] url: &str,
        #[case] pairs: &[(&str, &str)],
        #[case] called: &str,
        #[case] frame: &'static [u8],
    ) {
        let (grpc, url) = read(url, pairs).expect("a call");
        assert_eq!((called, frame), (url.as_str(), grpc.frame.as_ref()));
    }

    #[rstest]
    #[case::half_a_method("grpc://shop.test/shop.Cart", &[], "is no gRPC method")]
    #[case::parameters("grpc://shop.test/shop.Cart/Add?x=1", &[], "has no parameters")]
    #[case::base64("grpc://shop.test/shop.Cart/Add", &[("bodyBase64", "{}")], "it is no base64")]
    #[case::both("grpc://shop.test", &[("bodyBase64", ""), ("service", "x")], "exclude each other")]
    #[case::service_of_a_method("grpc://shop.test/shop.Cart/Add", &[("service", "x")], "is for the health check")]
    #[case::text("grpc://shop.test/shop.Cart/Add", &[("body", "{}")], "write bodyBase64")]
    #[case::verb("grpc://shop.test", &[("method", "POST")], "write the method into the url")]
    fn what_cannot_be_called_is_named(
        #[case] url: &str,
        #[case] pairs: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let why = read(url, pairs).expect_err("refused");
        assert!(why.contains(expected), "{why}");
    }

    #[test]
    fn the_name_of_a_service_has_its_limit() {
        let long = "x".repeat(1001);
        let why = read("grpc://shop.test", &[("service", &long)]).expect_err("refused");
        assert!(why.contains("longer than 1000 bytes"), "{why}");
    }

    #[rstest]
    #[case::serves(b"\0\0\0\0\x02\x08\x01", &[("grpc-status", "0")], "OK", true)]
    #[case::serves_not(b"\0\0\0\0\x02\x08\x02", &[("grpc-status", "0")], "NOT_SERVING", false)]
    #[case::unknown(b"\0\0\0\0\0", &[("grpc-status", "0")], "NOT_SERVING", false)]
    #[case::nothing(b"", &[("grpc-status", "0")], "NOT_SERVING", false)]
    #[case::broken(b"\0", &[("grpc-status", "14"), ("grpc-message", "down")], "UNAVAILABLE", false)]
    #[case::no_end(b"\0\0\0\0\x02\x08\x01", &[], "UNKNOWN", false)]
    #[case::no_such_code(b"", &[("grpc-status", "4711")], "UNKNOWN", false)]
    #[case::no_number(b"", &[("grpc-status", "OK")], "UNKNOWN", false)]
    fn an_answer_is_one_of_a_few_codes(
        #[case] first: &[u8],
        #[case] end: &[(&'static str, &'static str)],
        #[case] code: &str,
        #[case] good: bool,
    ) {
        let (health, _) = read("grpc://shop.test", &[]).expect("a call");
        let end = end
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let meaning = health.meaning(first, &end.collect());
        assert_eq!((code, good), (meaning.name.as_str(), meaning.good), "{meaning:?}");
    }
}
