//! The fenced blocks of a Markdown page, which tests run as a reader would.

/// A fenced block.
pub struct Block<'t> {
    /// What stands behind the opening fence.
    pub info: &'t str,
    pub body: String,
    /// The line of the opening fence, from 1.
    pub line: usize,
    /// The line of the closing fence.
    pub end: usize,
}

/// The fenced blocks of a page, in order. Fences stand at the margin.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        let (line, end) = (index + 1, index + 2 + body.len());
        blocks.push(Block {
            info: info.trim(),
            body: body.join("\n"),
            line,
            end,
        });
    }
    blocks
}
