//! Why a command cannot be read: where, what was found there, and what is allowed.

use std::fmt;

use serde::Serialize;

/// What is wrong with a command, for whoever wrote it. Its text says all of it in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// Where, from the command line's own object on: `gift.to[0].weight`. Absent where it is the line itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What stands there, as JSON shows it. Absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What may stand there, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// All of it in one sentence.
    pub message: String,
}

/// The most characters of what was found that a message repeats.
const MAX_SHOWN: usize = 80;

impl Malformed {
    /// Something about the line as a whole.
    pub fn line(message: impl Into<String>) -> Self {
        Self { path: None, found: None, allowed: None, message: message.into() }
    }

    /// `path` holds `found`, and only `allowed` may stand there.
    pub fn value(path: impl Into<String>, found: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let (path, found, allowed) = (path.into(), shown(&found.to_string()), allowed.into());
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        let message = format!("{at}found {found}; allowed is {allowed}");
        Self { path: Some(path).filter(|path| !path.is_empty()), found: Some(found), allowed: Some(allowed), message }
    }

    /// There is nothing at `path`, and there must be `allowed`.
    pub fn missing(path: impl Into<String>, allowed: impl Into<String>) -> Self {
        let (path, allowed) = (path.into(), allowed.into());
        let message = format!("{path} is missing: {allowed}");
        Self { path: Some(path), found: None, allowed: Some(allowed), message }
    }

    /// What stands at `path` breaks a rule that `problem` states.
    pub fn rule(path: impl Into<String>, problem: impl fmt::Display) -> Self {
        match path.into() {
            path if path.is_empty() => Self::line(problem.to_string()),
            path => Self { message: format!("{path}: {problem}"), path: Some(path), found: None, allowed: None },
        }
    }

    /// The same, of what stands below `parent`.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        let whole = match self.path.as_deref() {
            Some(path) if path.starts_with('[') => format!("{parent}{path}"),
            Some(path) => format!("{parent}.{path}"),
            None => parent.to_owned(),
        };
        self.message = match self.path.take().and_then(|path| self.message.strip_prefix(&path).map(str::to_owned)) {
            Some(rest) => format!("{whole}{rest}"),
            None => format!("{whole}: {}", self.message),
        };
        self.path = Some(whole);
        self
    }

    /// The same, of what stands in an array's element `nth`, from 0.
    #[must_use]
    pub fn at(self, nth: usize) -> Self {
        self.below(&format!("[{nth}]"))
    }
}

/// What fits into a message.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Of `names`, the one that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (strsim::osa_distance(word, name), name));
    // A third of the letters may be wrong.
    near.filter(|(distance, name)| *distance <= name.len().div_ceil(3)).min_by_key(|(d, _)| *d).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_what_and_what_is_allowed() {
        let weight = Malformed::value("weight", "\"2\"", "a whole number").at(0).below("to").below("gift");
        assert_eq!(weight.message, r#"gift.to[0].weight: found "2"; allowed is a whole number"#);
        assert_eq!(weight.path.as_deref(), Some("gift.to[0].weight"));
        let missing = Malformed::missing("item", "an item id").below("gift");
        assert_eq!(missing.message, "gift.item is missing: an item id");
        assert_eq!(Malformed::line("no JSON").below("gift").message, "gift: no JSON");
        assert!(Malformed::value("x", "9".repeat(100_000), "less").message.len() < 200);
    }

    #[test]
    fn a_word_has_a_nearest_neighbour_or_none() {
        let kinds = ["gift", "grant", "top_up", "roll_back_refund"];
        assert_eq!(nearest("gfit", kinds), Some("gift"));
        assert_eq!(nearest("topup", kinds), Some("top_up"));
        assert_eq!(nearest("rollback_refund", kinds), Some("roll_back_refund"));
        assert_eq!(nearest("withdrawal", kinds), None);
    }
}
