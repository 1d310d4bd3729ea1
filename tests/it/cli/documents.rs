//! The commands that documents show are commands that work.

use leasehold_tests::cli::Cli;
use leasehold_tests::settings::repository;
use leasehold_tests::stack::Setup;

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
