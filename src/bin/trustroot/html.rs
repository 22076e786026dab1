//! A review as one page for a second screen: no scripts, nothing from elsewhere, and nothing that a browser would run.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trustroot::crypto::sha256;

/// What a page shows: everything has been escaped for a terminal already, and is escaped again here.
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    /// Facts, each with its name.
    pub(crate) facts: Vec<(&'a str, String)>,
    /// Changes, each with its mark.
    pub(crate) changes: Vec<(char, &'a str)>,
    pub(crate) notes: Vec<String>,
    /// Why it is not signed.
    pub(crate) problems: Vec<String>,
    pub(crate) groups: String,
    pub(crate) words: Vec<String>,
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}\
th{text-align:left;vertical-align:top;padding-right:1em;font-weight:normal;color:#555}\
td,li,.digest{font-family:monospace;overflow-wrap:anywhere}\
ul{list-style:none;padding:0}li{white-space:pre-wrap}.added{color:#060}.removed{color:#900}.changed{color:#840}\
.problem{color:#fff;background:#900;padding:.3em .6em}.note{background:#fe9;padding:.3em .6em}\
.words td{font-size:1.4em;padding:.1em 1em .1em 0}.digest{font-size:1.2em}";

impl Page<'_> {
    pub(crate) fn html(&self) -> String {
        let title = escaped(self.title);
        let hash = STANDARD.encode(sha256(STYLE.as_bytes()));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
             http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri \
             'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        for problem in &self.problems {
            let _ = writeln!(page, "<p class=\"problem\">breaks a rule: {}</p>", escaped(problem));
        }
        for note in &self.notes {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(note));
        }
        page.push_str("<table>\n");
        for (name, fact) in &self.facts {
            let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(fact));
        }
        page.push_str("</table>\n<h2>Proposed changes</h2>\n<ul>\n");
        for (mark, text) in &self.changes {
            let class = match mark {
                '+' => "added",
                '-' => "removed",
                '~' => "changed",
                _ => "same",
            };
            let _ = writeln!(page, "<li class=\"{class}\">{mark} {}</li>", escaped(text));
        }
        if self.changes.is_empty() {
            page.push_str("<li class=\"same\">none but version and expiry</li>\n");
        }
        let _ = write!(
            page,
            "</ul>\n<h2>SHA-256 of the payload</h2>\n<p class=\"digest\">{}</p>\n<h2>The same in words</h2>\n\
             <table class=\"words\">\n",
            escaped(&self.groups)
        );
        for (row, words) in self.words.chunks(4).enumerate() {
            let _ = write!(page, "<tr><th>{}</th>", row * 4 + 1);
            for word in words {
                let _ = write!(page, "<td>{}</td>", escaped(word));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table>\n</body>\n</html>\n");
        page
    }
}

/// Printable ASCII without anything that means something in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            ' '..='~' => escaped.push(character),
            other => {
                let _ = write!(escaped, "{}", other.escape_default());
            }
        }
    }
    escaped
}
