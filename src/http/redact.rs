//! Addresses as they may be shown: a password in an URL is replaced, the rest stays as written.

/// `url` with its password, if there is one, as `xxxxx`. Works on broken URLs as well: those end in errors.
pub fn shown_url(url: &str) -> String {
    let start = url.find("//").map_or(0, |at| at + 2);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let Some(at) = url[start..end].rfind('@').map(|at| start + at) else { return url.to_owned() };
    match url[start..at].find(':') {
        Some(colon) => format!("{}:xxxxx{}", &url[..start + colon], &url[at..]),
        None => url.to_owned(),
    }
}

/// What of `url` may stand in a log: where it leads. The rest of a hook's address is often as good as a password.
pub fn origin(url: &str) -> String {
    let shown = shown_url(url);
    let start = shown.find("//").map_or(0, |at| at + 2);
    let end = shown[start..].find(['/', '?', '#']).map_or(shown.len(), |at| start + at);
    shown[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://hooks.example.com/services/T0/B0/secret?x=1", "https://hooks.example.com")]
    #[case("http://bob:pw@hooks:80/x", "http://bob:xxxxx@hooks:80")]
    #[case("hooks", "hooks")]
    fn a_log_says_only_where_a_call_went(#[case] url: &str, #[case] logged: &str) {
        assert_eq!(logged, origin(url));
    }

    #[rstest]
    #[case::password("https://bob:s3cret@hooks.shop/run?x=1", "https://bob:xxxxx@hooks.shop/run?x=1")]
    #[case::password_with_at("http://bob:a@b@hooks", "http://bob:xxxxx@hooks")]
    #[case::empty_password("http://bob:@hooks", "http://bob:xxxxx@hooks")]
    #[case::only_a_user("http://bob@hooks/", "http://bob@hooks/")]
    #[case::none("http://hooks:8080/a@b:c", "http://hooks:8080/a@b:c")]
    #[case::not_a_url("http://bob:pw@", "http://bob:xxxxx@")]
    #[case::without_scheme("bob:pw@hooks:80/x", "bob:xxxxx@hooks:80/x")]
    #[case::empty("", "")]
    fn passwords_are_never_shown(#[case] url: &str, #[case] shown: &str) {
        assert_eq!(shown, shown_url(url));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(url in "[a:/@?#é]{0,20}") {
            let shown = shown_url(&url);
            prop_assert!(shown == url || shown.contains(":xxxxx@"));
        }
    }
}
