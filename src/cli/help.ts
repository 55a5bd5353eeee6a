import { CONTROL_HELP } from './flags/index.js';

/** Texts of `safeexec help`. */

export type Subcommand = 'run' | 'explain' | 'doctor' | 'help';

const COMMAND_OPTIONS = `\
  --cwd DIR             directory to run the command in
  --env NAME=VALUE      sets a variable; any number of times
  --clear-env           starts from an empty environment
  --argv0 NAME          argv[0] of the command
  --executor NAME       what runs the plan: image or direct; default: what works here
${CONTROL_HELP}`;

export const HELP: Readonly<Record<Subcommand, string>> = {
  help: `\
Usage: safeexec SUBCOMMAND [OPTION]... [[--] COMMAND [ARGUMENT]...]

  run        starts a command and exits as it does
  explain    shows what starting a command would do, and starts nothing
  doctor     says what of this machine the engine can use
  help       this text, or that of a subcommand: safeexec help run

  --version  the version
`,
  run: `\
Usage: safeexec run [OPTION]... [--] COMMAND [ARGUMENT]...

Starts a command, passes on the signals that reach safeexec, and exits with its code.

${COMMAND_OPTIONS}
How long, and what is said:
  --timeout DURATION    time after which the command is sent the kill signal:
                        milliseconds, or with a unit as in 1.5s, 500ms, 2m, 1h; 0 is never
  --kill-signal SIGNAL  the signal of --timeout; default SIGTERM
  --kill-after DURATION time after that at which it is sent SIGKILL, if it is still there;
                        default never
  --debug               writes a line about the launch to stderr

Exit code: that of the command, or
  128+n  signal n ended the command
  124    the time was over
  125    safeexec failed; the message names the step
  126    the command cannot be executed
  127    the command was not found
  2      an option or its value is wrong
`,
  explain: `\
Usage: safeexec explain [OPTION]... [--] COMMAND [ARGUMENT]...

Prints the programs that starting a command would run, and the image that is made of one of them.
Starts nothing.

${COMMAND_OPTIONS}
Output:
  --arch NAME           a machine by its name in Node: x64, arm64 ...; default: this one
  --listing             the machine code as well: address, bytes, assembly
  --json                all of it as JSON
`,
  doctor: `\
Usage: safeexec doctor [--json]

Says what of this machine the engine can use; for what is missing, why, and what that means.
Exits with 0 if processes can be started, else with 1.

  --json                as JSON
`,
};

export function isSubcommand(name: string): name is Subcommand {
  return Object.hasOwn(HELP, name);
}
