//! Annotated CSV: tables of rows below three lines that say what the columns hold.
//!
//! ```text
//! #datatype,string,long,double
//! #group,false,false,false
//! #default,_result,,
//! ,result,table,_value
//! ,,0,98.5
//!
//! ```

use crate::metrics::shared::{MULTIPLE, NO_VALUES, SHOWN};
use crate::model::answer::{Measured, excerpt};

/// The first record of the one table.
pub(super) fn read(body: &[u8]) -> Result<Measured, String> {
    let firsts = first_records(body)?;
    match firsts.as_slice() {
        [] => Ok(Measured::NoData(NO_VALUES.to_owned())),
        [one] => one.measured(),
        many => Err(format!("{MULTIPLE}: {} tables, make them one with group()", many.len())),
    }
}

/// Whether an answer is one at all.
pub(super) fn check(body: &[u8]) -> Result<(), String> {
    first_records(body).map(|_| ())
}

/// The first record of a table.
struct Record {
    /// Which table of which result it is.
    table: (usize, String, String),
    datatype: String,
    /// Its value; empty for null, and none if there is no such column.
    value: Option<String>,
}

impl Record {
    fn measured(&self) -> Result<Measured, String> {
        let Some(value) = &self.value else { return Err("the result has no column _value".to_owned()) };
        match (self.datatype.as_str(), value.as_str()) {
            ("double" | "long" | "unsignedLong", "") => Ok(Measured::NoData(NO_VALUES.to_owned())),
            ("double" | "long" | "unsignedLong", number) => match number.parse() {
                Ok(number) => Ok(Measured::number(number)),
                Err(_) => Err(format!("_value is not a number: {}", excerpt(number.as_bytes(), 80))),
            },
            (other, _) => Err(format!("_value is a {}, not a number", excerpt(other.as_bytes(), 40))),
        }
    }
}

/// What the lines above the rows say.
#[derive(Default)]
struct Head {
    datatypes: Vec<String>,
    defaults: Vec<String>,
    names: Vec<String>,
}

impl Head {
    fn tells_an_error(&self) -> bool {
        self.names.iter().filter(|name| !name.is_empty()).eq(["error", "reference"])
    }

    /// The cell of a row below `name`; one that is empty has the column's default.
    fn cell(&self, row: &csv::StringRecord, name: &str) -> Option<String> {
        let at = self.names.iter().position(|known| known == name)?;
        let given = row.get(at).filter(|cell| !cell.is_empty());
        Some(given.or(self.defaults.get(at).map(String::as_str)).unwrap_or_default().to_owned())
    }
}

fn first_records(body: &[u8]) -> Result<Vec<Record>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(body);
    let (mut head, mut section) = (Head::default(), 0);
    let mut firsts: Vec<Record> = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|_| not_csv(body))?;
        let cells = || row.iter().map(str::to_owned).collect::<Vec<_>>();
        if row.get(0).is_some_and(|cell| cell.starts_with('#')) {
            if !head.names.is_empty() {
                (head, section) = (Head::default(), section + 1);
            }
            match row.get(0) {
                Some("#datatype") => head.datatypes = cells(),
                Some("#default") => head.defaults = cells(),
                _ => {}
            }
        } else if row.iter().filter(|cell| !cell.is_empty()).eq(["error", "reference"]) {
            // A query that fails on the way says so in a table of its own.
            (head, section) = (Head { names: cells(), ..Head::default() }, section + 1);
        } else if head.names.is_empty() {
            head.names = cells();
        } else if head.tells_an_error() {
            let error = head.cell(&row, "error").unwrap_or_default();
            return Err(format!("the query failed: {}", excerpt(error.as_bytes(), SHOWN)));
        } else {
            if head.datatypes.is_empty() {
                return Err(not_csv(body));
            }
            let name = |column| head.cell(&row, column).unwrap_or_default();
            let table = (section, name("result"), name("table"));
            if firsts.iter().all(|known| known.table != table) {
                let at = head.names.iter().position(|name| name == "_value");
                let datatype = at.and_then(|at| head.datatypes.get(at)).cloned().unwrap_or_default();
                firsts.push(Record { table, datatype, value: head.cell(&row, "_value") });
            }
            if firsts.len() > MOST {
                break;
            }
        }
    }
    // The server writes an empty line behind each result: what ends otherwise was cut off, or is no such answer.
    match body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body)) {
        Some(rest) if rest.is_empty() || rest.ends_with(b"\n") => Ok(firsts),
        _ => Err(not_csv(body)),
    }
}

fn not_csv(body: &[u8]) -> String {
    // It may come from anywhere, and what came is in the log at level debug.
    match body.trim_ascii().len() {
        0 => "the answer is empty".to_owned(),
        size => format!("the answer is not annotated CSV to its end but {size} bytes of something else"),
    }
}

/// Tables that are counted.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn table(datatype: &str, rows: &[&str]) -> String {
        let head = format!(
            "#datatype,string,long,{datatype}\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n"
        );
        head + &rows.iter().map(|row| format!("{row}\r\n")).collect::<String>() + "\r\n"
    }

    #[rstest]
    #[case::double("double", ",,0,98.5", Ok(Measured::Value(98.5)))]
    #[case::long("long", ",,0,7", Ok(Measured::Value(7.0)))]
    #[case::unsigned(
        "unsignedLong",
        ",,0,18446744073709551615",
        Ok(Measured::Value(18_446_744_073_709_551_615.0))
    )]
    #[case::null("double", ",,0,", Ok(Measured::NoData("no values found".into())))]
    #[case::nan("double", ",,0,NaN", Ok(Measured::NotANumber))]
    #[case::infinite("double", ",,0,+Inf", Ok(Measured::Failed("the result is +Inf, which no threshold can judge".into())))]
    #[case::word("double", ",,0,much", Err("_value is not a number: much"))]
    #[case::string("string", ",,0,98.5", Err("_value is a string, not a number"))]
    #[case::boolean("boolean", ",,0,true", Err("_value is a boolean, not a number"))]
    fn the_first_record_counts(
        #[case] datatype: &str,
        #[case] row: &str,
        #[case] expected: Result<Measured, &str>,
    ) {
        // spec: 04/PR-25 04/PR-26
        assert_eq!(expected.map_err(str::to_owned), read(table(datatype, &[row, ",,0,1"]).as_bytes()));
    }

    #[rstest]
    #[case::line_feeds_alone(
        "#datatype,string,long,double\n#default,_result,,\n,result,table,_value\n,,0,1.5\n\n",
        Ok(Measured::Value(1.5))
    )]
    #[case::quoted(
        "#datatype,string,long,string,double\r\n#default,_result,,,\r\n,result,table,a,_value\r\n,,0,\"x,\r\n\"\"y\",1.5\r\n\r\n",
        Ok(Measured::Value(1.5))
    )]
    #[case::default_value(
        "#datatype,string,long,double\r\n#default,_result,,3\r\n,result,table,_value\r\n,,0,\r\n\r\n",
        Ok(Measured::Value(3.0))
    )]
    #[case::no_value(
        "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,mean\r\n,,0,1\r\n\r\n",
        Err("the result has no column _value")
    )]
    #[case::other_columns(
        "#datatype,string,long,string,string,double\r\n#default,_result,,,,\r\n,result,table,error,reference,_value\r\n,,0,a,b,4\r\n\r\n",
        Ok(Measured::Value(4.0))
    )]
    #[case::no_rows("#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n\r\n", Ok(Measured::NoData("no values found".into())))]
    #[case::nothing("\r\n", Ok(Measured::NoData("no values found".into())))]
    #[case::no_annotations(
        ",result,table,_value\r\n,,0,1\r\n\r\n",
        Err("the answer is not annotated CSV to its end but 27 bytes of something else")
    )]
    fn tables_are_read_as_the_server_writes_them(
        #[case] body: &str,
        #[case] expected: Result<Measured, &str>,
    ) {
        // spec: 04/PR-26
        assert_eq!(expected.map_err(str::to_owned), read(body.as_bytes()));
    }

    #[rstest]
    #[case::same_columns(table("double", &[",,0,1", ",,1,2"]))]
    #[case::two_sections(table("double", &[",,0,1"]) + &table("long", &[",,0,2"]))]
    fn several_tables_are_several_values(#[case] body: String) {
        let expected = "query returned multiple values: 2 tables, make them one with group()";
        assert_eq!(Err(expected.to_owned()), read(body.as_bytes()));
    }

    #[rstest]
    #[case::plain("error,reference\r\n\"no such bucket, sorry\",897\r\n".to_owned())]
    #[case::annotated("#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,\"no such bucket, sorry\",\r\n".to_owned())]
    #[case::after_a_table(table("double", &[",,0,1"]) + "error,reference\r\n\"no such bucket, sorry\",897\r\n")]
    fn an_error_within_the_answer_is_one(#[case] body: String) {
        // spec: 04/PR-26
        assert_eq!(Err("the query failed: no such bucket, sorry".to_owned()), read(body.as_bytes()));
    }
}
