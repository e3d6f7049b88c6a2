//! The table of problems in docs/http-api.md against the codes of the document, which come from the
//! code.

use std::path::Path;

use serde_json::Value;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The text of links without where they lead, which only the page can say.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let (shown, after) = link.split_once("](").expect("a link");
        plain.push_str(before);
        plain.push_str(shown);
        rest = after.split_once(')').expect("the end of a link").1;
    }
    plain + rest
}

#[test]
fn the_table_of_problems_has_every_code_as_the_service_describes_it() {
    let document: Value = serde_json::from_str(&read("docs/openapi.json")).expect("JSON");
    let codes = &document["components"]["schemas"]["ProblemCode"]["x-codes"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let expected: Vec<String> = codes
        .as_array()
        .expect("codes")
        .iter()
        .map(|code| {
            format!(
                "| {} | `{}` | {} | {} |",
                code["status"],
                text(&code["code"]),
                text(&code["description"]),
                text(&code["remedy"])
            )
        })
        .collect();
    let page = read("docs/http-api.md");
    let rows: Vec<String> = page
        .lines()
        .skip_while(|line| *line != "| status | code | when | what to do |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(without_links)
        .collect();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected, "docs/http-api.md, problems");
    }
    assert_eq!(rows.len(), expected.len(), "docs/http-api.md, problems");
}
