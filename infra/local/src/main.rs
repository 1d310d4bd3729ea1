//! Starts the stack.
fn main() {}
