//! Texts as services show them. What is said in an alert comes from whoever may write a Canary or answers a hook: it
//! must call nobody and hide no address behind other words.

/// For Slack, whose mentions, links and commands all stand between `<` and `>`.
pub(super) fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// For services that read Markdown and mentions, each in its own dialect: a space of no width takes the meaning from
/// `@name`, `<…>` and `[text](address)`, and readers see the same as before.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        shown.push(c);
        let next = rest.peek().copied();
        let means = match c {
            '@' => next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '!' | '&')),
            '<' => next.is_some_and(|next| !next.is_whitespace()),
            ']' => next.is_some_and(|next| matches!(next, '(' | '[' | ':')),
            _ => false,
        };
        if means {
            shown.push(NO_WIDTH);
        }
    }
    shown
}

const NO_WIDTH: char = '\u{200b}';

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::everybody("down <!channel>", "down &lt;!channel&gt;")]
    #[case::somebody("<@U123> look", "&lt;@U123&gt; look")]
    #[case::link("<http://evil.test|Grafana>", "&lt;http://evil.test|Grafana&gt;")]
    #[case::written_out("&lt;!here&gt;", "&amp;lt;!here&amp;gt;")]
    #[case::a_number("5 < 7 & 3", "5 &lt; 7 &amp; 3")]
    fn slack_calls_nobody(#[case] text: &str, #[case] sent: &str) {
        assert_eq!(sent, for_slack(text));
    }

    #[rstest]
    #[case::everybody("@everyone look", "@\u{200b}everyone look")]
    #[case::somebody("<@!123> <@&456>", "<\u{200b}@\u{200b}!123> <\u{200b}@\u{200b}&456>")]
    #[case::link("[Grafana](http://evil.test)", "[Grafana]\u{200b}(http://evil.test)")]
    #[case::reference(
        "[Grafana][1] [1]: http://evil.test",
        "[Grafana]\u{200b}[1] [1]\u{200b}: http://evil.test"
    )]
    #[case::html("<a href='x'>", "<\u{200b}a href='x'>")]
    #[case::mail("ops@shop.test", "ops@\u{200b}shop.test")]
    #[case::numbers("5 < 7, [1] and a @ b", "5 < 7, [1] and a @ b")]
    fn nobody_else_is_called_and_no_address_is_hidden(#[case] text: &str, #[case] sent: &str) {
        assert_eq!(sent, plain(text));
    }
}
