//! How commands that check show what they found: the flags, and what is printed.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::cluster::Trouble;
use crate::cli::print::{self, Line, Paper};

use super::report::Report;

/// The flags.
#[derive(Args)]
pub(in crate::cli) struct Shown {
    /// How the findings are printed
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// Show each check, also of Canaries with which all is well
    #[arg(short, long)]
    pub verbose: bool,
    /// List all checks, and ask nothing
    #[arg(long)]
    pub list: bool,
    /// No colours, as without a terminal or with NO_COLOR
    #[arg(long)]
    no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As JSON, for tools
    Json,
}

/// Something that stands behind a report: its name in JSON, its value there, and its lines for people.
pub(in crate::cli) type Behind = (&'static str, Value, Vec<Line>);

impl Shown {
    /// Prints the report, and fails if not all is well with it.
    pub(in crate::cli) fn report(&self, report: &Report, behind: &[Behind]) -> anyhow::Result<()> {
        match self.output {
            Some(Form::Json) => {
                let mut all = report.json();
                for (name, value, _) in behind {
                    all[*name] = value.clone();
                }
                print::put(&(serde_json::to_string_pretty(&all)? + "\n"))?;
            }
            None => {
                let paper = Paper::of_stdout(self.no_color);
                let mut lines = report.lines(paper.columns);
                lines.extend(behind.iter().flat_map(|(_, _, lines)| lines.clone()));
                paper.print(&lines)?;
            }
        }
        match report.status() {
            0 => Ok(()),
            1 => Err(Trouble::new("something is wrong (exit status 1)").into()),
            status => {
                let why = format!("something could not be asked (exit status {status})");
                Err(Trouble::new(why).ends_with(status).into())
            }
        }
    }

    /// Prints the ids and titles of all checks.
    pub(in crate::cli) fn catalogue(&self, all: &[(&str, &str)]) -> anyhow::Result<()> {
        if self.output == Some(Form::Json) {
            let all: Vec<Value> = all.iter().map(|(id, title)| json!({"id": id, "title": title})).collect();
            return print::put(&(serde_json::to_string_pretty(&all)? + "\n"));
        }
        print::put(&all.iter().map(|(id, title)| format!("{id:<24}  {title}\n")).collect::<String>())
    }
}

/// What the help says of the exit status.
pub(in crate::cli) fn exit_codes(page: &str) -> String {
    format!(
        "Exit status:\n  0  all is well, or there are warnings (‼) alone\n  1  something is wrong (✗)\n  \
         2  nothing is known to be wrong, but something could not be asked\n\n{page} explains each check."
    )
}
