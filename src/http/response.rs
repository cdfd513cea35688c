//! An answer, whatever its status.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The headers, as the server sent them.
    pub headers: HeaderMap,
    /// Never longer than the caller asked for.
    pub body: Bytes,
    /// How many attempts were made, this answer's included.
    pub attempts: u32,
}

impl Response {
    /// An answer without headers that came at the first attempt.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: HeaderMap::new(), body: body.into(), attempts: 1 }
    }

    /// Whether the same call may be answered differently a little later.
    pub(super) fn worth_retrying(&self) -> bool {
        match self.status {
            429 | 0 => true,
            501 => false,
            status => status >= 500,
        }
    }

    /// How long an overloaded server wants to be left alone. A date is counted from the server's own `Date`, so
    /// that neither its clock nor ours matters.
    pub fn retry_after(&self) -> Option<Duration> {
        if !matches!(self.status, 429 | 503) {
            return None;
        }
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        let now = DateTime::parse_from_rfc2822(self.headers.get(DATE)?.to_str().ok()?).ok()?;
        Some((until - now).to_std().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::seconds(429, "7", Some(7))]
    #[case::unavailable(503, " 120 ", Some(120))]
    #[case::date(503, "Wed, 21 Oct 2026 07:28:30 GMT", Some(30))]
    #[case::date_in_the_past(503, "Wed, 21 Oct 2026 07:00:00 GMT", Some(0))]
    #[case::other_errors_have_no_say(500, "7", None)]
    #[case::negative(503, "-1", None)]
    #[case::nonsense(503, "soon", None)]
    fn an_overloaded_server_may_ask_for_time(
        #[case] status: u16,
        #[case] header: &'static str,
        #[case] wait: Option<u64>,
    ) {
        // spec: 04/WH-04
        let mut response = Response::new(status, "");
        response.headers.insert(DATE, HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT"));
        response.headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
        assert_eq!(wait.map(Duration::from_secs), response.retry_after());
    }

    #[rstest]
    fn only_a_busy_or_broken_server_is_asked_again(
        #[values((200, false), (204, false), (302, false), (400, false), (404, false), (429, true), (500, true), (501, false), (502, true), (503, true), (599, true))]
        case: (u16, bool),
    ) {
        // spec: 02/C87
        assert_eq!(case.1, Response::new(case.0, "").worth_retrying());
    }
}
