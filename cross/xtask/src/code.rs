//! Rust source without its comments and literals, line by line: what the tidy rules may search without being
//! fooled by prose. A scanner, not a parser: it knows comments, strings, raw strings and characters.

/// The source with comments and the insides of literals blanked. Line breaks stay, so line numbers hold.
pub(crate) fn strip(source: &str) -> String {
    let mut scanner =
        Scanner { chars: source.chars().collect(), at: 0, out: String::with_capacity(source.len()) };
    scanner.run();
    scanner.out
}

/// How many lines hold code: neither blank nor comment alone.
pub(crate) fn lines_of_code(stripped: &str) -> usize {
    stripped.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The part before the test module, which by the house's style stands last.
pub(crate) fn before_tests(stripped: &str) -> &str {
    let mut offset = 0;
    for line in stripped.split_inclusive('\n') {
        // The scanner leaves attributes as they are, but blanks the strings in them (`feature = "…"`).
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,") {
            return &stripped[..offset];
        }
        offset += line.len();
    }
    stripped
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Scanner {
    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.blank_until(|s| s.peek(0) == Some('\n')),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if !self.after_word() => self.raw_string(),
                ('\'', _) => self.character(),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.push(c);
            self.at += 1;
        }
    }

    fn blank(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.push(if c == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn blank_until(&mut self, end: impl Fn(&Self) -> bool) {
        while self.peek(0).is_some() && !end(self) {
            self.blank();
        }
    }

    /// Block comments nest in Rust.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// `r"…"`, `r#"…"#`; an `r#identifier` is kept.
    fn raw_string(&mut self) {
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        if self.peek(1 + hashes) != Some('"') {
            return self.keep();
        }
        for _ in 0..hashes + 2 {
            self.keep();
        }
        let closed = |s: &Self| s.peek(0) == Some('"') && (1..=hashes).all(|i| s.peek(i) == Some('#'));
        self.blank_until(closed);
        for _ in 0..=hashes {
            self.keep();
        }
    }

    /// A character literal; a lifetime is kept.
    fn character(&mut self) {
        let len = match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.chars.iter().skip(self.at + 3).position(|c| *c == '\'').map(|behind| behind + 3)
            }
            (Some(_), Some('\'')) => Some(2),
            _ => None,
        };
        self.keep();
        if let Some(len) = len {
            for _ in 1..len {
                self.blank();
            }
            self.keep();
        }
    }

    fn after_word(&self) -> bool {
        self.out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        for (source, stripped) in [
            ("a // b", "a     "),
            ("a /* b /* c */ */ d", "a                 d"),
            (r#"x("std::fs \" //", y)"#, r#"x("             ", y)"#),
            (r##"r#"a"b"# + c"##, r##"r#"   "# + c"##),
            (r"'\'' + '\\' + 'x' + a", r"'  ' + '  ' + ' ' + a"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("r#type + for\"x\"", "r#type + for\" \""),
        ] {
            assert_eq!(strip(source), stripped, "{source}");
        }
    }

    #[test]
    fn an_unclosed_literal_ends_with_the_file() {
        for source in ["\"abc", "/* abc", "r#\"abc", "'\\", "\"\\"] {
            let stripped = strip(source);
            assert!(!stripped.contains('b'), "{source}");
        }
    }

    #[test]
    fn lines_of_code_skip_blanks_and_comments() {
        assert_eq!(lines_of_code(&strip("//! a\n\nfn f() {\n    // b\n    g(); // c\n}\n")), 3);
    }

    #[test]
    fn the_test_module_is_cut_off() {
        let source = "fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(before_tests(source), "fn f() {}\n");
        assert_eq!(before_tests("fn f() {}\n"), "fn f() {}\n");
    }
}
