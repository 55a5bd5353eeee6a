// std::process::Command and CommandExt. Argument: a row.
use std::env::var;
use std::ffi::{c_char, c_int, CString};
use std::os::unix::process::CommandExt;
use std::process::Command;

extern "C" {
    fn open(path: *const c_char, flags: c_int) -> c_int;
}

fn probe() -> Command {
    let mut command = Command::new(var("PERL").unwrap());
    command.arg(var("PROBE").unwrap());
    command
}

fn run(command: &mut Command) {
    command.status().unwrap();
}

fn failure(command: &mut Command) -> String {
    match command.status() {
        Ok(_) => "null".to_string(),
        Err(error) => format!("{:?}", error.to_string()),
    }
}

fn main() {
    let scratch = var("SCRATCH").unwrap();
    let row = std::env::args().nth(1).unwrap();
    match row.as_str() {
        "cwd" => run(probe().current_dir(scratch + "/folder")),
        "env" => run(probe().env_clear().env("OPTION", "here")),
        "argv0" => run(probe().arg0("another-name")),
        "closeDescriptors" => {
            // std opens everything close-on-exec; a C library need not.
            let path = CString::new(scratch + "/leak").unwrap();
            unsafe { open(path.as_ptr(), 0) };
            run(&mut probe())
        }
        "newGroup" => run(probe().process_group(0)),
        "joinGroup" => {
            let mut waiting = probe().arg("wait").process_group(0).spawn().unwrap();
            run(probe().process_group(waiting.id() as i32));
            waiting.kill().unwrap();
            waiting.wait().unwrap();
        }
        "signalMask" | "ignoredSignals" | "noFork" => run(&mut probe()),
        "ids" => run(probe().uid(65534).gid(65534)),
        "killRace" => {
            let mut waiting = probe().arg("wait").spawn().unwrap();
            waiting.kill().unwrap();
            waiting.wait().unwrap();
        }
        "failingStep" => println!(
            "{{\"chdir\":{},\"exec\":{},\"setuid\":{}}}",
            failure(probe().current_dir(scratch.clone() + "/missing")),
            failure(&mut Command::new(scratch + "/folder/file")),
            failure(probe().uid(65534)),
        ),
        "badInput" => println!("{{\"refused\":{}}}", failure(probe().arg("a\0b"))),
        _ => panic!("no such row: {row}"),
    }
}
