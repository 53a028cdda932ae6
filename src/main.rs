//! The binary: argv → [`cargo_convoy::command`] → exit code.

fn main() -> std::process::ExitCode {
    let exit = cargo_convoy::command::main(std::env::args_os());
    std::process::ExitCode::from(exit.code())
}
