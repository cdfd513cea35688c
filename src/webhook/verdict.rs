//! What the answer of a hook means (spec 02 §6.1).

use crate::model::answer::{self, Verdict, said};

/// The verdict of an answer. `url` is the hook's address as it may be shown, `attempts` how often it was called.
pub fn answered(url: &str, attempts: u32, status: u16, body: &[u8]) -> Verdict {
    let body = said(body, SHOWN);
    match status {
        // 203 and above fail, 204 included: gates are known to rely on it.
        200..=202 => Verdict::Passed,
        429 | 500 | 502.. => Verdict::Failed(with(&gave_up(url, attempts), &body)),
        // One to the same place would have been followed. Its page says nothing that helps.
        301 | 302 | 303 | 307 | 308 => {
            Verdict::Failed(format!("the answer is HTTP status {status}, {}", answer::ELSEWHERE))
        }
        _ if body.is_empty() => Verdict::Failed(format!("the answer is HTTP status {status} without a text")),
        _ => Verdict::Failed(body),
    }
}

/// The verdict when there was no answer. `cause` must not hold a secret; no attempt means that the call was wrong
/// in itself.
pub fn unanswered(url: &str, attempts: u32, cause: &str) -> Verdict {
    Verdict::Failed(match attempts {
        0 => cause.to_owned(),
        _ => with(&gave_up(url, attempts), cause),
    })
}

fn gave_up(url: &str, attempts: u32) -> String {
    format!("POST {url} giving up after {attempts} attempt(s)")
}

fn with(text: &str, detail: &str) -> String {
    if detail.is_empty() { text.to_owned() } else { format!("{text}: {detail}") }
}

/// Characters of a hook's answer that get into an event.
const SHOWN: usize = 500;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const URL: &str = "http://tester/";

    #[rstest]
    fn two_hundred_to_two_hundred_and_two_pass(#[values(200, 201, 202)] status: u16) {
        // spec: 01/API-124 02/C87 04/WH-02
        assert_eq!(Verdict::Passed, answered(URL, 1, status, b"whatever"));
    }

    #[rstest]
    #[case::no_content(204, "", "the answer is HTTP status 204 without a text")]
    #[case::other_success(203, "proxied", "proxied")]
    #[case::redirect(
        302,
        "<a href='http://169.254.169.254/'>",
        "the answer is HTTP status 302, a redirect to another scheme, host or port, which is not followed: \
         write the address that it leads to"
    )]
    #[case::credentials(403, r#"{"Token":"s3cret"}"#, "(JSON of 18 bytes, in the log at level debug)")]
    #[case::closed_gate(403, "Forbidden", "Forbidden")]
    #[case::client_error(404, " not\nfound\u{7} ", "not found")]
    #[case::not_implemented(501, "no such task", "no such task")]
    #[case::busy(429, "", "POST http://tester/ giving up after 3 attempt(s)")]
    #[case::error(500, "exit status 1", "POST http://tester/ giving up after 3 attempt(s): exit status 1")]
    #[case::unavailable(503, "", "POST http://tester/ giving up after 3 attempt(s)")]
    #[case::made_up(700, "", "POST http://tester/ giving up after 3 attempt(s)")]
    fn anything_else_fails_with_what_the_hook_said(
        #[case] status: u16,
        #[case] body: &str,
        #[case] expected: &str,
    ) {
        // spec: 01/API-124 02/C87 04/WH-02 04/WH-05
        // Also 203 to 299, which is kept as it is for gates that rely on it (docs/differences.md, 02/E6.3).
        // spec: 04/WH-03
        assert_eq!(Verdict::Failed(expected.into()), answered(URL, 3, status, body.as_bytes()));
    }

    #[test]
    fn a_long_answer_does_not_fill_the_event() {
        let Verdict::Failed(text) = answered(URL, 1, 400, &[b'x'; 100_000]) else { panic!("passed") };
        assert_eq!(SHOWN + 1, text.chars().count());
    }

    #[rstest]
    #[case::tried(2, "POST http://tester/ giving up after 2 attempt(s): no complete answer within 10s")]
    #[case::not_tried(0, "no complete answer within 10s")]
    fn no_answer_fails_with_the_cause(#[case] attempts: u32, #[case] expected: &str) {
        // spec: 02/C87
        assert_eq!(
            Verdict::Failed(expected.into()),
            unanswered(URL, attempts, "no complete answer within 10s")
        );
    }
}
