//! The binary: argv → [`cargo_convoy::command`] → exit code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(cargo_convoy::command::main(std::env::args_os()))
}
