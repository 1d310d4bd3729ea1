//! Black-box tests over the running stack; a module per function, a test per requirement.
