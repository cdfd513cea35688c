//! The controller's own metrics, as its page shows them.

use std::collections::BTreeMap;

/// One line of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli::check) struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    pub(in crate::cli::check) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The samples of the series `name` in a page. Lines that cannot be read are passed over.
pub(in crate::cli::check) fn samples(page: &str, name: &str) -> Vec<Sample> {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let value = value.split(' ').next()?.parse().ok()?;
        Some(Sample { labels: pairs(labels), value })
    };
    page.lines().filter_map(of).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(
                    characters.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped }),
                ),
                character => value.push(character),
            }
        }
        found.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &after[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_series_by_series() {
        let page = "# HELP a x\n# TYPE a counter\na{b=\"c\",d=\"e \\\"f\\\" }\"} 2\na 3 1700\na_total 4\na{b=\"c\nbroken\n";
        let found = samples(page, "a");
        assert_eq!(2, found.len(), "{found:?}");
        assert_eq!(("c", "e \"f\" }", 2.0), (found[0].label("b"), found[0].label("d"), found[0].value));
        assert_eq!((0, 3.0), (found[1].labels.len(), found[1].value));
        assert!(samples("", "a").is_empty());
    }
}
