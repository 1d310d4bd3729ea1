//! The report as one HTML page: for a product manager, who opens a file and sees which release fails.
//!
//! What is in it comes from clients and may be chosen by an attacker: every text is escaped, the page has no script, and
//! its policy lets it load nothing.

use std::fmt::Write as _;

use super::{Point, Report, Version, percent};
use crate::output::time::utc;

/// How many versions have a line in the chart; a chart with more can't be read.
const LINES: usize = 5;
/// Size of the chart, and the room left of and below it for its scales.
const WIDTH: f64 = 850.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const BELOW: f64 = 24.0;

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --ground: #ffffff; --card: #f5f7f9; --rule: #d8dee4; --bad: #b42318; --good: #1a7f37;
  --c0: #0b62c4; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; --c4: #a16207; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --dim: #9aa5b1; --ground: #14171a; --card: #1e2328; --rule: #343b42; --bad: #ff7b72;
  --good: #56d364; --c0: #6cb0ff; --c1: #ff9b5e; --c2: #5fd38a; --c3: #c99bff; --c4: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 2.25rem 0 .5rem; font-size: 1.1rem; }
p { margin: .25rem 0; } .dim { color: var(--dim); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { flex: 1 1 10rem; background: var(--card); border-radius: .5rem; padding: .75rem 1rem; } .tile b { display: block; font-size: 1.6rem; line-height: 1.2; }
svg { width: 100%; height: auto; } svg text { fill: var(--dim); font: 12px system-ui, sans-serif; } .grid { stroke: var(--rule); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .4em; }
.legend span { margin-right: 1.25rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; } td { overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
.bar { height: .55rem; margin-top: .45rem; min-width: 6rem; border-radius: .2rem; background: var(--rule); } .bar i { display: block; height: 100%; border-radius: .2rem; background: var(--bad); }
.worse { color: var(--bad); font-weight: 600; } .better { color: var(--good); }
";

/// The page.
pub fn html(report: &Report, tenant: &str) -> String {
    let tenant = escape(tenant);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Client health of {tenant}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Client health of {tenant}</h1>\n<p class=\"dim\">{} to {}, by the {}</p>\n",
        utc(report.since),
        utc(report.until),
        if report.is_by_day() { "day (UTC)" } else { "hour" },
    );
    tiles(&mut page, report);
    if report.versions.is_empty() {
        page += "<p>Nothing was counted in this time.</p>\n";
    } else {
        page += "<h2>Failure rate over time</h2>\n";
        chart(&mut page, report);
        page += "<h2>Versions</h2>\n";
        table(&mut page, report);
    }
    page += "<h2>How to read this</h2>\n\
             <p>A <b>validation</b> is a decision on a token: by the authorizer, on a route that takes a token, or at a \
             refresh. It <b>fails</b> when the token is refused, and then the user may be signed out. A release whose rate is \
             well above the one before it probably stores or refreshes its tokens wrongly.</p>\n\
             <p><b>other</b> are versions that few users have, <b>none</b> are clients that say no version. Wrong passwords are \
             counted apart, as failed logins. What an API verified by itself is not in here.</p>\n</body>\n</html>\n";
    page
}

fn tiles(page: &mut String, report: &Report) {
    let total = &report.total;
    *page += "<div class=\"tiles\">\n";
    for (value, name) in [
        (percent(total.rate), "of validations failed".to_owned()),
        (grouped(total.validations), "validations".to_owned()),
        (grouped(total.failures), "failed".to_owned()),
        (grouped(total.logins), format!("logins, {} failed", grouped(total.login_failures))),
    ] {
        let _ = writeln!(page, "<div class=\"tile\"><b>{value}</b>{name}</div>");
    }
    *page += "</div>\n";
}

/// A line for each of the busiest versions.
fn chart(page: &mut String, report: &Report) {
    let shown: Vec<(&Version, Vec<Point>)> = report
        .versions
        .iter()
        .filter(|version| version.totals.validations > 0)
        .take(LINES)
        .map(|version| (version, report.points(version, 100)))
        .collect();
    let count = shown.first().map_or(1, |(_, points)| points.len());
    let rates = shown.iter().flat_map(|(_, points)| points).filter_map(|point| point.rate());
    let top = ceiling(rates.fold(0.0, f64::max));
    let place = Scale { count, top };
    *page += "<p class=\"legend\">";
    for (index, (version, _)) in shown.iter().enumerate() {
        let name = escape(&version.name);
        let _ = write!(page, "<span><i class=\"key\" style=\"background:var(--c{index})\"></i>{name}</span>");
    }
    let _ = writeln!(
        page,
        "</p>\n<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"Failure rate over time by version\">",
        LEFT + WIDTH + 8.0,
        HEIGHT + BELOW + 8.0
    );
    for share in [0.0, 0.5, 1.0] {
        let y = place.y(top * share);
        let _ = writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            percent(top * share)
        );
    }
    scale_of_time(page, report, &place);
    for (index, (version, points)) in shown.iter().enumerate() {
        line(page, &place, index, version, points, report.is_by_day());
    }
    *page += "</svg>\n";
    if report.versions.len() > shown.len() {
        let _ = writeln!(
            page,
            "<p class=\"dim\">The {} busiest versions with traffic; all are below.</p>",
            shown.len()
        );
    }
}

fn scale_of_time(page: &mut String, report: &Report, place: &Scale) {
    let last = place.count.saturating_sub(1);
    for (column, anchor) in [(0, "start"), (last / 2, "middle"), (last, "end")] {
        let at = report.since.saturating_add((column as u64).saturating_mul(report.step()));
        let _ = writeln!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            place.x(column),
            HEIGHT + BELOW,
            moment(at, report.is_by_day())
        );
    }
}

/// The line of a version: broken where it had no traffic, with a dot that tells its numbers at each point.
fn line(page: &mut String, place: &Scale, index: usize, version: &Version, points: &[Point], by_day: bool) {
    let name = escape(&version.name);
    let (mut path, mut dots, mut pen) = (String::new(), String::new(), 'M');
    for (column, point) in points.iter().enumerate() {
        let Some(rate) = point.rate() else {
            pen = 'M';
            continue;
        };
        let (x, y) = (place.x(column), place.y(rate));
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        pen = 'L';
        let _ = writeln!(
            dots,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"var(--c{index})\"><title>{name}, {}: {} of {} failed, {}</title></circle>",
            moment(point.at, by_day),
            grouped(point.failures),
            grouped(point.validations),
            percent(rate)
        );
    }
    let _ = writeln!(
        page,
        "<path fill=\"none\" stroke-width=\"2\" d=\"{path}\" stroke=\"var(--c{index})\"/>\n{}",
        dots.trim_end()
    );
}

/// Where things stand in the chart.
struct Scale {
    count: usize,
    top: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a hundred columns at most")]
    fn x(&self, column: usize) -> f64 {
        let steps = self.count.saturating_sub(1).max(1) as f64;
        LEFT + WIDTH * column as f64 / steps
    }

    fn y(&self, rate: f64) -> f64 {
        8.0 + (HEIGHT - 8.0) * (1.0 - rate / self.top)
    }
}

/// The end of a scale that holds this rate: a round number, never 0.
fn ceiling(rate: f64) -> f64 {
    let ends = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    ends.into_iter().find(|end| rate <= *end).unwrap_or(1.0)
}

fn table(page: &mut String, report: &Report) {
    let top = report.versions.iter().map(|version| version.totals.rate).fold(0.0, f64::max);
    *page += "<div class=\"scroll\"><table>\n<thead><tr><th>Version</th><th class=\"number\">Validations</th>\
              <th class=\"number\">Failed</th><th class=\"number\">Rate</th><th></th><th>Against the version before</th>\
              <th>Most frequent reasons</th></tr></thead>\n<tbody>\n";
    for version in &report.versions {
        let totals = &version.totals;
        let width = if top > 0.0 { 100.0 * totals.rate / top } else { 0.0 };
        let reasons =
            version.reasons.iter().map(|why| format!("{} ({})", escape(&why.reason), grouped(why.count)));
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td><div class=\"bar\"><i style=\"width:{width:.1}%\"></i></div></td><td>{}</td><td>{}</td></tr>",
            escape(&version.name),
            grouped(totals.validations),
            grouped(totals.failures),
            percent(totals.rate),
            against(version),
            reasons.collect::<Vec<_>>().join("<br>"),
        );
    }
    *page += "</tbody></table></div>\n";
}

fn against(version: &Version) -> String {
    let (Some(change), Some(previous)) = (version.change, &version.previous) else { return String::new() };
    let points = change * 100.0;
    let (class, word) = if points >= 0.05 {
        ("worse", "worse")
    } else if points <= -0.05 {
        ("better", "better")
    } else {
        return format!("the same as {}", escape(previous));
    };
    format!("<span class=\"{class}\">{:.1} points {word}</span> than {}", points.abs(), escape(previous))
}

/// A moment as far as a bucket has it.
fn moment(at: u64, by_day: bool) -> String {
    utc(at).chars().take(if by_day { 10 } else { 16 }).collect()
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A text as HTML, in an element or in a quoted attribute. Control characters are nobody's to see.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_a_client_calls_itself_is_text_and_nothing_else() {
        for evil in [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "'><svg/onload=alert(1)>",
            "</title></style></svg><script src=//evil.example/x></script>",
            "&lt;script&gt;",
        ] {
            let mut evil_report = report(evil);
            evil_report.versions[0].previous = Some(evil.to_owned());
            evil_report.versions[0].reasons[0].reason = evil.to_owned();
            let page = html(&evil_report, evil);
            let plain = html(&report("shop/2"), "acme");
            for mark in ["<script", "<img", "onerror=alert(1)>", "<svg/", "</title></style>"] {
                assert!(!page.contains(mark), "{evil}: {mark}");
            }
            // Nothing of it opens or closes a tag: the page has the tags of one with an honest name.
            let tags = |page: &str| {
                (page.matches('<').count(), page.matches('>').count(), page.matches('"').count())
            };
            assert_eq!(tags(&page), tags(&plain), "{evil}");
            assert!(page.contains(&escape(evil)));
        }
    }

    #[test]
    fn the_page_stands_alone() {
        let page = html(&report("shop/1.10"), "acme");
        for outside in ["http://", "https://", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("prefers-color-scheme: dark"));
        for (tag, end) in
            [("<svg", "</svg>"), ("<table", "</table>"), ("<body", "</body>"), ("<div", "</div>")]
        {
            assert_eq!(page.matches(tag).count(), page.matches(end).count(), "{tag}");
        }
        assert!(page.contains("15.0 points worse</span> than shop/1.9"), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_time_without_anything_is_a_page_too() {
        let mut empty = report("x");
        empty.versions.clear();
        assert!(html(&empty, "acme").contains("Nothing was counted"));
        let mut quiet = report("x");
        quiet.versions.iter_mut().for_each(|version| {
            version.totals.validations = 0;
            version.totals.rate = 0.0;
            version.series.clear();
        });
        let page = html(&quiet, "acme");
        assert!(page.contains("<svg") && !page.contains("NaN"));
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(0), "0");
        assert!(
            (ceiling(0.0) - 0.01).abs() < 1e-9
                && (ceiling(0.06) - 0.1).abs() < 1e-9
                && (ceiling(0.9) - 1.0).abs() < 1e-9
        );
    }
}
