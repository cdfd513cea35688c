//! What names, labels and ports may look like. Each rule answers `None` if the text keeps it, else what is
//! wrong, in the API server's words.

/// Most object names: `a.b-c`.
pub fn dns_subdomain(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some(too_long(253));
    }
    let fine = text.split('.').all(|part| is_label(part, false));
    (!fine).then(|| {
        regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
             and must start and end with an alphanumeric character",
            r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        )
    })
}

/// Names of namespaces and containers: `a-b`, `1-b`.
pub fn dns_label(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some(too_long(63));
    }
    (!is_label(text, false)).then(|| {
        regex_error(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
             and must start and end with an alphanumeric character",
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "123-abc"],
        )
    })
}

/// Names of services: `a-b`, starting with a letter.
pub fn dns_1035_label(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some(too_long(63));
    }
    (!is_label(text, true)).then(|| {
        regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
             start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        )
    })
}

/// Names of roles and the like: anything that can stand between two slashes of a path.
pub fn path_segment(text: &str) -> Option<String> {
    if matches!(text, "." | "..") {
        return Some(format!("may not be '{text}'"));
    }
    ["/", "%"].iter().find(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'"))
}

/// Keys of labels and annotations, and finalizers: `name` or `prefix.io/name`.
pub fn qualified_name(text: &str) -> Option<String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((prefix, name)) if !name.contains('/') => (Some(prefix), name),
        Some(_) => {
            return Some(format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(WORD_RULE, WORD_REGEX, WORD_EXAMPLES)
            ));
        }
    };
    match prefix {
        Some("") => return Some("prefix part must be non-empty".into()),
        Some(prefix) => {
            if let Some(why) = dns_subdomain(prefix) {
                return Some(format!("prefix part {why}"));
            }
        }
        None => {}
    }
    if name.is_empty() {
        Some("name part must be non-empty".into())
    } else if name.len() > 63 {
        Some(format!("name part {}", too_long(63)))
    } else if !is_word(name) {
        Some(format!("name part {}", regex_error(WORD_RULE, WORD_REGEX, WORD_EXAMPLES)))
    } else {
        None
    }
}

/// Values of labels: empty, or a word.
pub fn label_value(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some(too_long(63));
    }
    (!text.is_empty() && !is_word(text)).then(|| {
        regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        )
    })
}

/// Keys of ConfigMaps and Secrets.
pub fn config_key(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some(too_long(253));
    }
    match text {
        "." => return Some("must not be '.'".into()),
        ".." => return Some("must not be '..'".into()),
        _ if text.starts_with("..") => return Some("must not start with '..'".into()),
        _ => {}
    }
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (!fine).then(|| {
        regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        )
    })
}

/// Names of container ports and named target ports.
pub fn port_name(text: &str) -> Option<String> {
    if text.len() > 15 {
        return Some(too_long(15));
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Some("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Some("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        return Some("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Some("must not begin or end with a hyphen".into());
    }
    None
}

/// Numbers of ports.
pub fn port_number(port: i64) -> Option<String> {
    (!(1..=65535).contains(&port)).then(|| "must be between 1 and 65535, inclusive".into())
}

const WORD_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
                         and must start and end with an alphanumeric character";
const WORD_REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const WORD_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];

fn is_label(text: &str, starts_with_letter: bool) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| edge(b) && !(starts_with_letter && b.is_ascii_digit()))
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|b| edge(b) || *b == b'-')
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

fn regex_error(rule: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(dns_subdomain, "frontend.v1-a", true)]
    #[case(dns_subdomain, "Frontend", false)]
    #[case(dns_subdomain, "a..b", false)]
    #[case(dns_subdomain, "", false)]
    #[case(dns_label, "1-a", true)]
    #[case(dns_label, "a.b", false)]
    #[case(dns_label, "-a", false)]
    #[case(dns_1035_label, "a-1", true)]
    #[case(dns_1035_label, "1-a", false)]
    #[case(path_segment, "system:admin", true)]
    #[case(path_segment, "a/b", false)]
    #[case(path_segment, "..", false)]
    #[case(qualified_name, "app.kubernetes.io/name", true)]
    #[case(qualified_name, "app", true)]
    #[case(qualified_name, "a/b/c", false)]
    #[case(qualified_name, "/b", false)]
    #[case(qualified_name, "a/", false)]
    #[case(qualified_name, "_a", false)]
    #[case(label_value, "", true)]
    #[case(label_value, "a_b.C", true)]
    #[case(label_value, "a b", false)]
    #[case(config_key, "app.yaml", true)]
    #[case(config_key, "a/b", false)]
    #[case(config_key, "..a", false)]
    #[case(port_name, "http-web", true)]
    #[case(port_name, "80", false)]
    #[case(port_name, "a--b", false)]
    #[case(port_name, "a-very-long-port-name", false)]
    fn a_name_keeps_its_rule_or_not(
        #[case] rule: fn(&str) -> Option<String>,
        #[case] text: &str,
        #[case] fine: bool,
    ) {
        assert_eq!(fine, rule(text).is_none(), "{:?}", rule(text));
    }

    #[rstest]
    #[case(
        dns_label,
        "A",
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )]
    #[case(
        qualified_name,
        "a b",
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    )]
    #[case(port_name, "a-very-long-port-name", "must be no more than 15 bytes")]
    fn a_broken_rule_is_told_in_the_api_servers_words(
        #[case] rule: fn(&str) -> Option<String>,
        #[case] text: &str,
        #[case] why: &str,
    ) {
        assert_eq!(Some(why), rule(text).as_deref());
    }
}
