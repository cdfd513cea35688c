//! As much of Markdown as the documentation uses: blocks of code, headings, links.

use std::collections::BTreeMap;
use std::path::Path;

/// A page.
pub struct Page {
    /// Its path below the repository.
    pub path: String,
    pub text: String,
}

/// A block of code.
pub struct Block {
    /// The page and the number of the line after the fence, for messages.
    pub place: String,
    /// The language behind the fence.
    pub language: String,
    pub text: String,
}

/// A link to somewhere, or a picture.
pub struct Link {
    pub line: usize,
    pub target: String,
}

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let path = path.strip_prefix(super::root()).unwrap_or(path);
        Self { path: path.to_string_lossy().into_owned(), text }
    }

    /// The blocks of code in one of these languages.
    pub fn blocks(&self, languages: &[&str]) -> Vec<Block> {
        let mut all = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block {
                        place: format!("{}:{}", self.path, number + 1),
                        language: language.trim().to_owned(),
                        text: String::new(),
                    };
                    open = Some((indent, block));
                }
                (Some(_), Some("")) => all.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    // Blocks in lists are indented as a whole.
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block of code without an end", self.path);
        all.retain(|block| languages.contains(&block.language.as_str()));
        all
    }

    /// The lines that are no code, with their numbers; code within a line is left out.
    fn prose(&self) -> Vec<(usize, String)> {
        let mut code = false;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.trim_start().starts_with("```") {
                code = !code;
            } else if !code {
                lines.push((number, line.to_owned()));
            }
        }
        lines
    }

    /// The anchors of the headings, as GitHub and mdbook make them, and those written as HTML.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = Vec::new();
        for (_, line) in self.prose() {
            for id in line.split("<a id=\"").skip(1).chain(line.split("<a name=\"").skip(1)) {
                anchors.push(id.split('"').next().unwrap_or_default().to_owned());
            }
            let level = line.chars().take_while(|letter| *letter == '#').count();
            let Some(title) = line[level..].strip_prefix(' ').filter(|_| level > 0) else { continue };
            let anchor = anchor(title);
            let times = seen.entry(anchor.clone()).or_default();
            anchors.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
            *times += 1;
        }
        anchors
    }

    /// The pieces of code within lines of text, with the numbers of the lines.
    pub fn inline(&self) -> Vec<(usize, String)> {
        let pieces = |(line, text): (usize, String)| {
            let code = text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            code.into_iter().map(move |code| (line, code))
        };
        self.prose().into_iter().flat_map(pieces).collect()
    }

    /// The links in the text.
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (line, text) in self.prose() {
            // Code within the line may look like a link.
            let text: String = text.split('`').step_by(2).collect::<Vec<_>>().join("`");
            for part in text.split("](").skip(1) {
                let target = part.split([')', ' ']).next().unwrap_or_default();
                links.push(Link { line, target: target.to_owned() });
            }
            for part in ["src=\"", "srcset=\""].iter().flat_map(|mark| text.split(mark).skip(1)) {
                let target = part.split('"').next().unwrap_or_default();
                links.push(Link { line, target: target.to_owned() });
            }
        }
        links.retain(|link| !link.target.starts_with('<'));
        links
    }
}

fn anchor(title: &str) -> String {
    // A heading that is a link has the anchor of its text.
    let title = title.split("](").next().unwrap_or_default().replace(['[', ']'], "");
    let letters = title.trim().to_lowercase();
    letters
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[test]
fn headings_links_and_blocks_are_found() {
    let text = "# A `b`, c\n\n## A `b`, c\n[x](y.md#z) `[no](no)` ![p](p.svg)\n- list\n  ```yaml\n  a:\n    b\n  ```\n";
    let page = Page { path: "p.md".into(), text: text.into() };
    assert_eq!(vec!["a-b-c", "a-b-c-1"], page.anchors());
    let targets: Vec<String> = page.links().into_iter().map(|link| link.target).collect();
    assert_eq!(vec!["y.md#z", "p.svg"], targets);
    let blocks = page.blocks(&["yaml"]);
    assert_eq!(("a:\n  b\n", "p.md:7"), (blocks[0].text.as_str(), blocks[0].place.as_str()));
}
