//! A file for calendars (RFC 5545): one event for each role that people sign, from the day on which its signing window
//! opens to the moment at which it expires.
//!
//! Nothing in it stands as it came: texts are escaped twice, for a terminal and for the format.

use std::fmt::Write as _;

use chrono::{DateTime, Duration, TimeZone as _, Utc};
use trustroot::Printable;
use trustroot::ceremony::Deadline;
use trustroot::crypto::sha256;

/// Longest line in octets, without its end (RFC 5545, section 3.1).
const LONGEST_LINE: usize = 75;

/// A calendar for the roles of one repository.
pub(crate) struct Calendar<'a> {
    /// What the repository is called.
    pub(crate) name: &'a str,
    /// The SHA-256 of its first root: an event is the same event wherever it was written.
    pub(crate) repository: [u8; 32],
    pub(crate) deadlines: &'a [Deadline],
    pub(crate) now: DateTime<Utc>,
}

impl Calendar<'_> {
    pub(crate) fn text(&self) -> String {
        let mut lines = Lines(String::new());
        let name = escaped(self.name);
        lines.add("BEGIN:VCALENDAR");
        lines.add("VERSION:2.0");
        lines.add(concat!("PRODID:-//trustroot//trustroot ", env!("CARGO_PKG_VERSION"), "//EN"));
        lines.add("CALSCALE:GREGORIAN");
        lines.add("METHOD:PUBLISH");
        // RFC 7986, and what calendars read that are older.
        lines.add(&format!("NAME:{name}"));
        lines.add(&format!("X-WR-CALNAME:{name}"));
        for deadline in self.deadlines {
            self.event(deadline, &mut lines);
        }
        lines.add("END:VCALENDAR");
        lines.0
    }

    fn event(&self, deadline: &Deadline, lines: &mut Lines) {
        let role = &Printable(deadline.role.as_str()).to_string();
        let (due, expires) = (deadline.due().max(first_year()), deadline.expires.clamp(first_year(), last_year()));
        // A calendar takes what it has under this name for an older state of the same event.
        let uid = hex::encode(&sha256(format!("{}\n{role}", hex::encode(self.repository)).as_bytes())[..16]);
        let mut told = format!(
            "{role} {} expires on {}. Clients refuse it from then on.\n\nStart: trustroot ceremony start {role}\n",
            deadline.version,
            date(deadline.expires)
        );
        if let Some(by) = deadline.start_by() {
            let _ = write!(told, "Past events took up to {}: start by {}.", took(deadline), date(by));
        }
        lines.add("BEGIN:VEVENT");
        lines.add(&format!("UID:{uid}@trustroot"));
        lines.add(&format!("SEQUENCE:{}", sequence(self.now)));
        lines.add(&format!("DTSTAMP:{}", time(self.now)));
        lines.add(&format!("LAST-MODIFIED:{}", time(self.now)));
        lines.add(&format!("DTSTART:{}", time(due)));
        lines.add(&format!("DTEND:{}", time(expires)));
        lines.add(&format!("SUMMARY:{}: sign {}", escaped(self.name), escaped(role)));
        lines.add(&format!("DESCRIPTION:{}", escaped_lines(&told)));
        lines.add("CATEGORIES:trustroot");
        lines.add("TRANSP:TRANSPARENT");
        for before in alarms(deadline, due, expires) {
            lines.add("BEGIN:VALARM");
            lines.add("ACTION:DISPLAY");
            lines.add(&format!("DESCRIPTION:{}: sign {}", escaped(self.name), escaped(role)));
            lines.add(&format!("TRIGGER;RELATED=END:-PT{}S", before.num_seconds()));
            lines.add("END:VALARM");
        }
        lines.add("END:VEVENT");
    }
}

/// How long before the expiry people are told: when the window opens, half-way, and at the last moment to start that past
/// events leave.
fn alarms(deadline: &Deadline, due: DateTime<Utc>, expires: DateTime<Utc>) -> Vec<Duration> {
    let window = expires - due;
    let mut before = vec![window, window / 2];
    before.extend(deadline.start_by().map(|by| expires - by.clamp(due, expires)));
    before.sort_unstable();
    before.dedup();
    before.reverse();
    before
}

/// How long the longest of the past events took, and of how many it is the longest.
pub(crate) fn took(deadline: &Deadline) -> String {
    let Some(pace) = deadline.pace else { return "an unknown time".to_owned() };
    let days = (pace.longest + Duration::hours(23)).num_days().max(1);
    let unit = if days == 1 { "day" } else { "days" };
    match pace.events {
        1 => format!("{days} {unit} (one event)"),
        events => format!("{days} {unit} (longest of {events})"),
    }
}

/// Grows with each writing, so that a calendar takes the later one (RFC 5545, section 3.8.7.4): the seconds since 2020,
/// which fit for longer than this program is kept.
fn sequence(now: DateTime<Utc>) -> i64 {
    const YEAR_2020: i64 = 1_577_836_800;
    (now.timestamp() - YEAR_2020).clamp(0, i64::from(i32::MAX))
}

pub(crate) fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

fn time(time: DateTime<Utc>) -> String {
    // Four digits are all that the format has for a year.
    time.clamp(first_year(), last_year()).format("%Y%m%dT%H%M%SZ").to_string()
}

fn first_year() -> DateTime<Utc> {
    Utc.timestamp_opt(0, 0).single().expect("1970 is a year")
}

fn last_year() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(9999, 12, 31, 23, 59, 59).single().expect("9999 is a year")
}

/// A text on one line (RFC 5545, section 3.3.11).
fn escaped(text: &str) -> String {
    escaped_lines(&Printable(text).to_string())
}

/// A text of our own, whose lines are kept.
fn escaped_lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Content lines, folded.
struct Lines(String);

impl Lines {
    fn add(&mut self, line: &str) {
        let mut length = 0;
        for character in line.chars() {
            if length + character.len_utf8() > LONGEST_LINE {
                self.0.push_str("\r\n ");
                length = 1;
            }
            self.0.push(character);
            length += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_between_characters_and_unfold_to_what_they_were() {
        for line in ["x".repeat(75), "x".repeat(76), "é".repeat(200), format!("{}\u{1F511}", "x".repeat(73))] {
            let mut lines = Lines(String::new());
            lines.add(&line);
            assert!(lines.0.split("\r\n").all(|part| part.len() <= LONGEST_LINE), "{line}");
            assert_eq!(lines.0.replace("\r\n ", ""), format!("{line}\r\n"));
        }
    }

    #[test]
    fn text_from_elsewhere_begins_no_line_and_ends_no_value() {
        assert_eq!(escaped("a\r\nEND:VEVENT\r\n,;\\"), r"a\\r\\nEND:VEVENT\\r\\n\,\;\\\\");
    }

    #[test]
    fn a_later_writing_has_a_larger_number_that_fits() {
        let at = |text: &str| sequence(text.parse().expect("a time"));
        assert!(at("2026-03-01T12:00:00Z") < at("2026-03-01T12:00:01Z"));
        assert_eq!((at("1999-01-01T00:00:00Z"), at("2999-01-01T00:00:00Z")), (0, i64::from(i32::MAX)));
    }
}
