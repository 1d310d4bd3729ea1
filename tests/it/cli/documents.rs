//! The commands that documents show are commands that work.

use leasehold_tests::cli::Cli;
use leasehold_tests::http::{Call, Http};
use leasehold_tests::settings::repository;
use leasehold_tests::stack::Setup;
use serde_json::{Value, json};

#[tokio::test]
async fn the_readmes_commands_work_in_their_order() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("the README");
    let (_, section) = readme.split_once("## The command line").expect("the section");
    let (_, block) = section.split_once("```sh\n").expect("a block of commands");
    let (block, _) = block.split_once("```").expect("its end");
    let stack = Setup::default().seed().start();
    let cli = Cli::of(&stack);
    let mut commands = 0;
    for line in block.lines() {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("leasehold"), "{line}");
        // Where the data lies is the test's to say.
        let arguments: Vec<_> = words.filter(|word| *word != "--local").collect();
        cli.run(&arguments).expect(0);
        commands += 1;
    }
    assert!(commands > 5, "{block}");
}

/// The commands in the blocks of a section.
fn commands(document: &str, section: &str) -> Vec<String> {
    let path = repository().join("shared/docs").join(document);
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_commands_about_tokens_and_health_work_as_they_are_shown() {
    let stack = Setup::default().seed().start();
    let cli = Cli::of(&stack);
    cli.run(&["login", "--as", "acme"]).expect(0);
    let seed = std::fs::read_to_string(stack.data().join("seed.json")).expect("the seed");
    let seed: Value = serde_json::from_str(&seed).expect("JSON");
    let user = &seed["tenants"]["acme"]["users"][0];
    let issuer = seed["tenants"]["acme"]["issuer"].as_str().expect("an issuer");
    let body = json!({"client_id": "acme-app", "username": user["username"], "password": user["password"]});
    let http = Http::new();
    let token = Call::post(format!("{issuer}/login"))
        .json(&body)
        .send(&http)
        .await
        .expect(200)
        .string("access_token");
    let keys = Call::get(format!("{issuer}/.well-known/jwks.json")).send(&http).await.expect(200).text();
    std::fs::write(cli.home().join("token.txt"), token).expect("a file");
    std::fs::write(cli.home().join("keys.json"), keys).expect("a file");
    let shown = [
        ("verify.md", "Try a token", 3),
        ("verify.md", "Explain a token", 2),
        ("operations.md", "Client health", 3),
    ];
    for (document, section, count) in shown {
        let lines = commands(document, section);
        assert_eq!(lines.len(), count, "{lines:?}");
        for line in lines {
            let (command, code) = line.split_once("# exit ").map_or((line.as_str(), 0), |(command, code)| {
                (command, code.trim().parse().expect("an exit code"))
            });
            let (command, input) = command.split_once(" < ").unwrap_or((command, ""));
            let read = |name: &str| std::fs::read_to_string(cli.home().join(name)).expect("what is read");
            let input = if input.is_empty() { String::new() } else { read(input.trim()) };
            let command = command.replace("$ISS", issuer);
            let arguments: Vec<_> = command.split_whitespace().skip(1).collect();
            cli.run_with(&arguments, &input).expect(code);
        }
    }
    assert!(cli.home().join("health.html").exists());
}
