// os/exec and syscall.SysProcAttr. Argument: a row.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

var perl, probe, scratch = os.Getenv("PERL"), os.Getenv("PROBE"), os.Getenv("SCRATCH")

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(perl, append([]string{probe}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func with(attributes syscall.SysProcAttr) {
	cmd := command()
	cmd.SysProcAttr = &attributes
	run(cmd)
}

func run(cmd *exec.Cmd) {
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func show(value any) {
	text, _ := json.Marshal(value)
	fmt.Println(string(text))
}

func failure(cmd *exec.Cmd) any {
	if err := cmd.Run(); err != nil {
		return err.Error()
	}
	return nil
}

func ended(ctx context.Context) {
	cmd := exec.CommandContext(ctx, perl, probe, "wait")
	cmd.Run()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() == syscall.SIGKILL {
		show(map[string]any{"ended": "SIGKILL"})
	}
}

func main() {
	// The parent-death signal is that of the thread.
	runtime.LockOSThread()
	cmd := command()
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	switch os.Args[1] {
	case "cwd":
		cmd.Dir = scratch + "/folder"
		run(cmd)
	case "env":
		cmd.Env = []string{"OPTION=here"}
		run(cmd)
	case "argv0":
		cmd.Args[0] = "another-name"
		run(cmd)
	case "descriptors":
		file, _ := os.Open(scratch + "/folder/file")
		cmd.ExtraFiles = []*os.File{file}
		run(cmd)
	case "closeDescriptors":
		// os opens everything close-on-exec; a C library need not.
		syscall.Open(scratch+"/leak", syscall.O_RDONLY, 0)
		run(cmd)
	case "newGroup":
		with(syscall.SysProcAttr{Setpgid: true})
	case "joinGroup":
		waiting := command("wait")
		waiting.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		waiting.Start()
		with(syscall.SysProcAttr{Setpgid: true, Pgid: waiting.Process.Pid})
		waiting.Process.Kill()
	case "session":
		with(syscall.SysProcAttr{Setsid: true})
	case "controllingTerminal":
		with(syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0})
	case "foreground":
		with(syscall.SysProcAttr{Foreground: true, Ctty: 0})
	case "signalMask", "ignoredSignals", "noFork":
		run(cmd)
	case "ids":
		with(syscall.SysProcAttr{Credential: nobody})
	case "groups":
		with(syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{1, 2}}})
	case "ambient":
		with(syscall.SysProcAttr{Credential: nobody, AmbientCaps: []uintptr{5}})
	case "parentDeathSignal":
		with(syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
	case "chroot":
		cmd = exec.Command("/usr/bin/perl", "/probe.pl", "escape")
		cmd.Dir, cmd.Stdout, cmd.Stderr = "/", os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: scratch + "/root"}
		run(cmd)
	case "userNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids})
	case "mountNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS})
	case "pidNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID})
	case "networkNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	case "ipcNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWIPC})
	case "utsNamespace":
		with(syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS})
	case "cgroupNamespace":
		with(syscall.SysProcAttr{Unshareflags: 0x02000000})
	case "timeNamespace":
		with(syscall.SysProcAttr{Unshareflags: 0x80})
	case "killRace":
		waiting := command("wait")
		waiting.Start()
		waiting.Process.Signal(syscall.SIGTERM)
		waiting.Wait()
	case "timeout":
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		ended(ctx)
	case "abort":
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(100*time.Millisecond, cancel)
		ended(ctx)
	case "usage":
		cmd.Stdout = nil
		run(cmd)
		show(map[string]any{"maxRSS": cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss})
	case "failingStep":
		missing, denied := command(), command()
		missing.Dir = scratch + "/missing"
		denied.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
		show(map[string]any{
			"chdir":  failure(missing),
			"exec":   failure(exec.Command(scratch + "/folder/file")),
			"setuid": failure(denied),
		})
	case "badInput":
		show(map[string]any{"refused": failure(command("a\x00b"))})
	default:
		panic("no such row: " + os.Args[1])
	}
}
