//! A client's cookies, as a browser keeps them for one site.

use std::collections::BTreeMap;
use std::time::Duration;

/// Cookies by their name. Times count from any start that is always the same.
#[derive(Debug, Default)]
pub struct Jar(BTreeMap<String, Cookie>);

#[derive(Debug)]
struct Cookie {
    value: String,
    /// It is forgotten then.
    until: Option<Duration>,
}

impl Jar {
    /// The cookies that go with a request that is sent now, by name; those that are too old are thrown away.
    pub fn open(&mut self, now: Duration) -> BTreeMap<String, String> {
        self.0.retain(|_, cookie| cookie.until.is_none_or(|until| now < until));
        self.0.iter().map(|(name, cookie)| (name.clone(), cookie.value.clone())).collect()
    }

    /// The value of the header `Cookie`.
    pub fn header(cookies: &BTreeMap<String, String>) -> String {
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Does what a line `Set-Cookie` asks. What is no cookie is ignored.
    pub fn put(&mut self, line: &str, now: Duration) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let age = parts
            .filter_map(|part| part.split_once('='))
            .find(|(attribute, _)| attribute.eq_ignore_ascii_case("max-age"))
            .and_then(|(_, seconds)| seconds.parse::<i64>().ok());
        let until = age.map(|seconds| now + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        self.0.insert(name.to_owned(), Cookie { value: value.to_owned(), until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn sent(jar: &mut Jar, now: Duration) -> String {
        Jar::header(&jar.open(now))
    }

    #[test]
    fn a_cookie_is_sent_until_its_age_is_reached() {
        let mut jar = Jar::default();
        jar.put("version=AbC; Max-Age=10; Path=/; Secure", NOW);
        jar.put("theme=dark", NOW);
        assert_eq!(sent(&mut jar, NOW + Duration::from_secs(9)), "theme=dark; version=AbC");
        assert_eq!(sent(&mut jar, NOW + Duration::from_secs(10)), "theme=dark");
    }

    #[test]
    fn a_cookie_is_replaced_and_forgotten_when_told_to() {
        let mut jar = Jar::default();
        jar.put("version=old; Max-Age=86400", NOW);
        jar.put("version=new; max-age=86400", NOW);
        assert_eq!(sent(&mut jar, NOW), "version=new");
        jar.put("version=new; Max-Age=-1", NOW);
        assert_eq!(sent(&mut jar, NOW), "");
    }
}
