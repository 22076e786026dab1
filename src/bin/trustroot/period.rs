//! Lengths of time as users write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A length of time in one unit, such as `7d`: seconds, minutes, hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(Duration);

/// The longest period that is taken, in seconds: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400;

/// Units from long to short, in seconds.
const UNITS: [(char, u64); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Period {
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a whole number with a unit: s, m, h, d or w, such as 36h or 7d".to_owned();
        let unit = text.chars().next_back().ok_or_else(expected)?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        let number = &text[..text.len() - unit.len_utf8()];
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(expected());
        }
        let period = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
        match period {
            Some(0) => Err("a period of nothing would refuse everything; leave the option out".to_owned()),
            Some(period) if period <= LONGEST => Ok(Self(Duration::from_secs(period))),
            _ => Err("a hundred years is the longest".to_owned()),
        }
    }
}

/// In the longest unit that fits exactly: parsing it gives the same period.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_secs();
        let (name, seconds) = UNITS.into_iter().find(|(_, unit)| all.is_multiple_of(*unit)).unwrap_or(('s', 1));
        // `14d` says more to most than `2w`.
        if name == 'w' { write!(f, "{}d", all / 86_400) } else { write!(f, "{}{name}", all / seconds) }
    }
}

/// How long ago something was, as precisely as matters.
pub(crate) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let age = now - then;
    if age < TimeDelta::minutes(1) {
        return "less than a minute ago".to_owned();
    }
    if age < TimeDelta::hours(2) {
        return format!("{} min ago", age.num_minutes());
    }
    if age < TimeDelta::days(2) {
        return format!("{} h ago", age.num_hours());
    }
    format!("{} d ago", age.num_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_back_as_they_are_written() {
        for (text, seconds, shown) in [
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("36h", 129_600, "36h"),
            ("7d", 604_800, "7d"),
            ("2w", 1_209_600, "14d"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.duration().as_secs(), period.to_string().as_str()), (seconds, shown));
            assert_eq!(shown.parse::<Period>().unwrap(), period);
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in ["", "d", "7", "7 d", "-7d", "+7d", "1.5h", "7y", "0d", "7é", "99999999999999999999s", "5300w"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn ages_are_shown_in_the_unit_that_matters() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (seconds, shown) in [
            (59, "less than a minute ago"),
            (119 * 60, "119 min ago"),
            (3 * 3600 + 59, "3 h ago"),
            (864_000, "10 d ago"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), shown);
        }
    }
}
