//! From text to HTML.

/// Text that can stand between tags and in quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The CommonMark of our own descriptions within a line: code and strong words.
pub(super) fn inline(text: &str) -> String {
    let escaped = escape(text);
    let code = paired(&escaped, "`", "code");
    paired(&code, "**", "strong")
}

/// The same in paragraphs.
pub(super) fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|text| !text.is_empty());
    paragraphs
        .map(|text| format!("<p>{}</p>\n", inline(text)))
        .collect()
}

/// Code, not interpreted.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

fn paired(text: &str, mark: &str, tag: &str) -> String {
    let mut parts = text.split(mark);
    let mut marked = parts.next().unwrap_or_default().to_owned();
    while let Some(inside) = parts.next() {
        match parts.next() {
            Some(after) => marked.push_str(&format!("<{tag}>{inside}</{tag}>{after}")),
            // A mark without its pair is a character like any other.
            None => marked.push_str(&format!("{mark}{inside}")),
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_markup_but_its_marks() {
        assert_eq!(
            inline("a `<b>` & **\"c\"**"),
            "a <code>&lt;b&gt;</code> &amp; <strong>&quot;c&quot;</strong>"
        );
        assert_eq!(inline("2 * 3 `"), "2 * 3 `");
        assert_eq!(paragraphs("one\n\ntwo"), "<p>one</p>\n<p>two</p>\n");
    }
}
