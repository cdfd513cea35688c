//! Session affinity (spec 03 §4): the cookies that keep a client on the side that it first met, as the routers
//! that can do it write them. Which cookies there are is the core's to say.

use std::time::Duration;

use super::promql::escaped;
use crate::api::analysis::SessionAffinity;

/// The value of the `Set-Cookie` header that binds a client to the canary.
pub(super) fn of_canary(affinity: &SessionAffinity, pair: &str) -> String {
    let max_age = affinity.max_age.filter(|age| *age > 0).unwrap_or(86_400);
    set_cookie(affinity, pair, max_age)
}

/// The value of the `Set-Cookie` header that binds a client to the primary, until the next step.
pub(super) fn of_primary(affinity: &SessionAffinity, pair: &str, interval: Duration) -> String {
    set_cookie(affinity, pair, i64::try_from(interval.as_secs()).unwrap_or(i64::MAX))
}

/// The value of the `Set-Cookie` header that makes a client delete the cookie. Browsers only do so for the domain and
/// path that it was set with.
pub(super) fn forget(affinity: &SessionAffinity, pair: &str) -> String {
    set_cookie(affinity, pair, -1)
}

/// The regular expression (RE2) that matches a whole `Cookie` header if it holds the pair.
pub(super) fn expression(pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    format!(".*{}.*{}.*", escaped(name), escaped(value))
}

fn set_cookie(affinity: &SessionAffinity, pair: &str, max_age: i64) -> String {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let mut cookie = format!("{pair}; Max-Age={max_age}");
    let attributes = [
        text(&affinity.domain).map(|domain| format!("Domain={domain}")),
        affinity.http_only.unwrap_or(false).then(|| "HttpOnly".to_owned()),
        affinity.partitioned.unwrap_or(false).then(|| "Partitioned".to_owned()),
        text(&affinity.path).map(|path| format!("Path={path}")),
        text(&affinity.same_site).map(|policy| format!("SameSite={policy}")),
        affinity.secure.unwrap_or(false).then(|| "Secure".to_owned()),
    ];
    for attribute in attributes.into_iter().flatten() {
        cookie.push_str("; ");
        cookie.push_str(&attribute);
    }
    cookie
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn affinity() -> SessionAffinity {
        SessionAffinity { cookie_name: "ck".into(), ..SessionAffinity::default() }
    }

    // spec: 03/SA-02 02/C55
    #[test]
    fn attributes_come_in_their_order() {
        let affinity = SessionAffinity {
            max_age: Some(300),
            domain: Some("example.com".into()),
            http_only: Some(true),
            partitioned: Some(true),
            path: Some("/shop".into()),
            same_site: Some("None".into()),
            secure: Some(true),
            ..affinity()
        };
        assert_eq!(
            of_canary(&affinity, "ck=AbCdEfGhIj"),
            "ck=AbCdEfGhIj; Max-Age=300; Domain=example.com; HttpOnly; Partitioned; Path=/shop; SameSite=None; Secure"
        );
        // spec: 03/SA-12
        assert_eq!(
            forget(&affinity, "ck=AbCdEfGhIj"),
            "ck=AbCdEfGhIj; Max-Age=-1; Domain=example.com; HttpOnly; Partitioned; Path=/shop; SameSite=None; Secure"
        );
    }

    // spec: 03/SA-03
    #[rstest]
    #[case(None)]
    #[case(Some(0))]
    fn a_cookie_lives_a_day_unless_said(#[case] max_age: Option<i64>) {
        assert_eq!(of_canary(&SessionAffinity { max_age, ..affinity() }, "ck=a"), "ck=a; Max-Age=86400");
    }

    #[rstest]
    #[case("ck=AbCd", ".*ck.*AbCd.*")]
    #[case("a.b[c]=AbCd", r".*a\.b\[c\].*AbCd.*")]
    fn a_name_is_taken_literally(#[case] pair: &str, #[case] expected: &str) {
        assert_eq!(expression(pair), expected);
    }
}
