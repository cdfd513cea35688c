//! Comments that say that a finding is known: `# vexil-lint: ignore VX701`, in the line of the finding or the one above.

use super::Input;
use super::finding::Finding;

/// Whether a comment covers this finding.
pub fn covers(inputs: &[Input], finding: &Finding) -> bool {
    let Some(input) = inputs.get(finding.input) else { return false };
    let line = finding.span.line;
    let lines = input.text.lines().enumerate().map(|(number, text)| (number + 1, text));
    lines.filter(|(number, _)| *number == line || number + 1 == line).any(|(number, text)| {
        let Some((before, said)) = text.split_once(MARK) else { return false };
        // A comment of the line above stands alone there.
        (number == line || before.trim_end_matches(['#', ' ']).trim().is_empty())
            && said.split([',', ' ']).any(|code| code == finding.code.id())
    })
}

const MARK: &str = "vexil-lint: ignore";
