# subprocess. Argument: a row.
import json
import os
import signal
import subprocess
import sys

PERL, PROBE, SCRATCH = (os.environ[name] for name in ("PERL", "PROBE", "SCRATCH"))


def show(value):
    print(json.dumps(value))


def child(*args, **options):
    return subprocess.Popen([PERL, PROBE, *args], **options)


def descriptors():
    fd = os.open(f"{SCRATCH}/folder/file", os.O_RDONLY)
    # The number stays what it is here.
    os.dup2(fd, 3)
    child(pass_fds=[3]).wait()


def close_descriptors():
    os.set_inheritable(os.open(f"{SCRATCH}/leak", os.O_RDONLY), True)
    child().wait()


def join_group():
    waiting = child("wait", process_group=0)
    child(process_group=waiting.pid).wait()
    waiting.kill()


def timeout():
    try:
        subprocess.run([PERL, PROBE, "wait"], timeout=0.1)
    except subprocess.TimeoutExpired:
        # run() has killed and reaped it.
        show({"ended": "SIGKILL"})


def failure(act):
    try:
        act().wait()
    except Exception as error:
        return str(error)


def failing_step():
    show(
        {
            "chdir": failure(lambda: child(cwd=f"{SCRATCH}/missing")),
            "exec": failure(lambda: subprocess.Popen([f"{SCRATCH}/folder/file"])),
            "setuid": failure(lambda: child(user=65534)),
        }
    )


ROWS = {
    "cwd": lambda: child(cwd=f"{SCRATCH}/folder").wait(),
    "env": lambda: child(env={"OPTION": "here"}).wait(),
    "argv0": lambda: subprocess.Popen(["another-name", PROBE], executable=PERL).wait(),
    "descriptors": descriptors,
    "closeDescriptors": close_descriptors,
    "umask": lambda: child(umask=0o123).wait(),
    "newGroup": lambda: child(process_group=0).wait(),
    "joinGroup": join_group,
    "session": lambda: child(start_new_session=True).wait(),
    "signalMask": lambda: child().wait(),
    "ignoredSignals": lambda: child().wait(),
    "ids": lambda: child(user=65534, group=65534).wait(),
    "groups": lambda: child(extra_groups=[1, 2]).wait(),
    "killRace": lambda: child("wait").send_signal(signal.SIGTERM),
    "timeout": timeout,
    "failingStep": failing_step,
    "badInput": lambda: show({"refused": failure(lambda: child("a\0b"))}),
    "noFork": lambda: child().wait(),
}
ROWS[sys.argv[1]]()
