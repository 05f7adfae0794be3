//! The agent's shell: files, sockets, clocks and threads around `telltale-core`, and the command line.

pub mod source;
