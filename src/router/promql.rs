//! PromQL, put together safely: names become literals or patterns, never syntax.

use prometheus_http_query::Selector;

/// Percent of the requests counted by `metric` under `all` that are under `good` as well. No good request at all
/// is 0 percent; no request at all is no value.
pub(super) fn percentage(metric: &str, good: &Selector<'_>, all: &Selector<'_>, interval: &str) -> String {
    let rate = |of: &Selector<'_>| format!("sum(rate({metric}{of}[{interval}]))");
    format!("({} or vector(0)) / {} * 100", rate(good), rate(all))
}

/// 99th percentile of the histogram `metric` under `all`, in the unit of its buckets.
pub(super) fn p99(metric: &str, all: &Selector<'_>, interval: &str) -> String {
    format!("histogram_quantile(0.99, sum(rate({metric}{all}[{interval}])) by (le))")
}

/// Mean of the seconds that `metric` has measured under `all`, in milliseconds.
pub(super) fn mean_millis(metric: &str, all: &Selector<'_>, interval: &str) -> String {
    format!("sum(rate({metric}_sum{all}[{interval}])) / sum(rate({metric}_count{all}[{interval}])) * 1000")
}

/// `text` as the inside of a string literal.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            other => literal.push(other),
        }
    }
    literal
}

/// A pattern that matches `text` and nothing else, as the inside of a string literal.
pub(super) fn pattern(text: &str) -> String {
    literal(&escaped(text))
}

/// `text` as an expression (RE2) that matches it and nothing else.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The part of the requests, in percent, that the Envoy clusters whose names match `cluster` answered well.
pub(super) fn envoy_success_rate(cluster: &str, interval: &str) -> String {
    let all = Selector::new().regex_eq("envoy_cluster_name", cluster);
    let good = all.clone().regex_ne("envoy_response_code", "5.*");
    percentage("envoy_cluster_upstream_rq", &good, &all, interval)
}

/// The 99th percentile of the time, in milliseconds, that these clusters took to answer.
pub(super) fn envoy_duration(cluster: &str, interval: &str) -> String {
    p99(
        "envoy_cluster_upstream_rq_time_bucket",
        &Selector::new().regex_eq("envoy_cluster_name", cluster),
        interval,
    )
}
