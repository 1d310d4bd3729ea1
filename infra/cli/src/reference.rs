//! The reference of all commands in Markdown, made from the code. A test holds `shared/docs/cli.md` against it.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::failure::EXIT_CODES;

const HEAD: &str = "\
# `leasehold`: reference of the command line

Made from the code by `leasehold reference`; a test keeps it current.
";

/// The reference of a command with all below it.
pub fn markdown(command: Command) -> String {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut text = HEAD.to_owned();
    write_command(&mut text, &command, "leasehold");
    text += "\n## Exit codes\n\n| Code | Meaning |\n| --- | --- |\n";
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(text, "| {code} | {meaning} |");
    }
    text
}

fn write_command(text: &mut String, command: &Command, path: &str) {
    let is_root = !path.contains(' ');
    if !is_root {
        let level = if path.matches(' ').count() == 1 { "##" } else { "###" };
        let _ = write!(text, "\n{level} `{path}`\n");
    }
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _ = write!(text, "\n{about}\n");
    }
    let children: Vec<_> = command.get_subcommands().filter(|child| !child.is_hide_set()).collect();
    if children.is_empty() {
        let _ = write!(text, "\n```text\n{}\n```\n", usage(command, path));
    }
    // Flags of all commands are told once, at the top; those of a group, at the group.
    let inherited =
        |arg: &Arg| arg.is_global_set() && !is_root && (is_everywhere(arg) || path.matches(' ').count() > 1);
    let own: Vec<_> = command
        .get_arguments()
        .filter(|arg| {
            !arg.is_hide_set() && !inherited(arg) && !["help", "version"].contains(&arg.get_id().as_str())
        })
        .collect();
    if !own.is_empty() {
        text.push_str("\n| Argument | Meaning |\n| --- | --- |\n");
        for arg in own {
            let _ = writeln!(text, "| {} | {} |", name(arg), meaning(arg));
        }
    }
    for child in children {
        write_command(text, child, &format!("{path} {}", child.get_name()));
    }
}

fn is_everywhere(arg: &Arg) -> bool {
    arg.get_help_heading() == Some("Everywhere")
}

fn usage(command: &Command, path: &str) -> String {
    let has_flags = command
        .get_arguments()
        .any(|arg| !arg.is_positional() && !arg.is_global_set() && arg.get_id() != "help");
    let mut usage = path.to_owned();
    for arg in command.get_arguments().filter(|arg| !arg.is_positional() && arg.is_required_set()) {
        let _ = write!(usage, " {}", name(arg).replace('`', ""));
    }
    if has_flags {
        usage += " [OPTIONS]";
    }
    for arg in command.get_positionals() {
        let _ = write!(usage, " {}", name(arg).replace('`', ""));
    }
    usage
}

fn name(arg: &Arg) -> String {
    let values =
        arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect::<Vec<_>>();
    let value = values.join(" ");
    if arg.is_positional() {
        let shown =
            if arg.is_required_set() { value } else { format!("[{}]", value.trim_matches(['<', '>'])) };
        return format!("`{shown}`");
    }
    let long = arg.get_long().unwrap_or_default();
    let short = arg.get_short().map_or_else(String::new, |short| format!("`-{short}`, "));
    if !arg.get_action().takes_values() {
        return format!("{short}`--{long}`");
    }
    let separator = if arg.is_require_equals_set() { "=" } else { " " };
    let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    let value = if optional { format!("[{separator}{value}]") } else { format!("{separator}{value}") };
    format!("{short}`--{long}{value}`")
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map_or_else(String::new, ToString::to_string);
    let possible: Vec<_> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !possible.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, "; one of {}", possible.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, "; default `{}`", defaults.join(","));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, "; variable `{}`", variable.to_string_lossy());
    }
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/docs/cli.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let made = markdown(crate::commands::Cli::command());
        assert!(
            kept == made,
            "shared/docs/cli.md is old: target/debug/leasehold reference > shared/docs/cli.md"
        );
    }
}
