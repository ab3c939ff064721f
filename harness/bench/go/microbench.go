// The hot rows of microbench.c as a Go program makes them: every call goes through the one call
// site of the Go runtime's raw system-call function, or through the runtime's own machinery.
//
// Usage and output are those of microbench.c's `run`, without --via and --exec-static.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	page       = 4096
	futexWait  = 128 // FUTEX_WAIT_PRIVATE
	futexWake  = 129 // FUTEX_WAKE_PRIVATE
	monotonic  = 1   // CLOCK_MONOTONIC
	ballHere   = 0
	ballThere  = 1
	gameOver   = 2
	maxIterate = 1 << 24
)

var (
	scratchPath string
	selfPath    string
	scratchFd   int
	rootFd      int
	zeroFd      int
	buffer      [16 * page]byte
)

func die(what string, err error) {
	fmt.Fprintf(os.Stderr, "microbench.go: %s: %v\n", what, err)
	if scratchPath != "" {
		os.Remove(scratchPath)
	}
	os.Exit(1)
}

func check(what string, err error) {
	if err != nil {
		die(what, err)
	}
}

func checkErrno(what string, errno syscall.Errno) {
	if errno != 0 {
		die(what, errno)
	}
}

func runGetpid(n int) {
	for i := 0; i < n; i++ {
		_, _, errno := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		checkErrno("getpid", errno)
	}
}

func runClock(n int) {
	var t syscall.Timespec
	for i := 0; i < n; i++ {
		_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&t)), 0)
		checkErrno("clock_gettime", errno)
	}
}

func runYield(n int) {
	for i := 0; i < n; i++ {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		checkErrno("sched_yield", errno)
	}
}

func runReadZero(n int) {
	for i := 0; i < n; i++ {
		_, err := syscall.Read(zeroFd, buffer[:1])
		check("read of /dev/zero", err)
	}
}

func preadPage(fd int) func(int) {
	return func(n int) {
		for i := 0; i < n; i++ {
			_, err := syscall.Pread(fd, buffer[:page], page)
			check("pread", err)
		}
	}
}

func runPwrite(n int) {
	for i := 0; i < n; i++ {
		_, err := syscall.Pwrite(scratchFd, buffer[:page], page)
		check("pwrite", err)
	}
}

func openClose(path string) func(int) {
	return func(n int) {
		for i := 0; i < n; i++ {
			fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
			check("open", err)
			check("close", syscall.Close(fd))
		}
	}
}

func statPath(path string) func(int) {
	return func(n int) {
		var s syscall.Stat_t
		for i := 0; i < n; i++ {
			check("stat", syscall.Stat(path, &s))
		}
	}
}

func newPipe() [2]int {
	var p [2]int
	check("pipe", syscall.Pipe(p[:]))
	return p
}

func pipeSelf() (func(int), func()) {
	p := newPipe()
	run := func(n int) {
		for i := 0; i < n; i++ {
			_, err := syscall.Write(p[1], buffer[:1])
			check("write", err)
			_, err = syscall.Read(p[0], buffer[:1])
			check("read", err)
		}
	}
	return run, func() { syscall.Close(p[0]); syscall.Close(p[1]) }
}

// echo sends every byte back from a goroutine with a thread of its own.
func echo(to, from, echoFrom, echoTo int) (func(int), func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		var b [1]byte
		for {
			if n, err := syscall.Read(echoFrom, b[:]); err != nil || n != 1 {
				close(done)
				return
			}
			_, err := syscall.Write(echoTo, b[:])
			check("write of the echo", err)
		}
	}()
	run := func(n int) {
		for i := 0; i < n; i++ {
			_, err := syscall.Write(to, buffer[:1])
			check("write", err)
			_, err = syscall.Read(from, buffer[:1])
			check("read", err)
		}
	}
	return run, func() {
		syscall.Close(to)
		<-done
	}
}

func pipePingpong() (func(int), func()) {
	there, back := newPipe(), newPipe()
	return echo(there[1], back[0], there[0], back[1])
}

func unixPingpong() (func(int), func()) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check("socketpair", err)
	return echo(pair[0], pair[0], pair[1], pair[1])
}

func futexPingpong() (func(int), func()) {
	var ball atomic.Uint32
	word := uintptr(unsafe.Pointer(&ball))
	wait := func(seen uintptr) {
		_, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, word, futexWait, seen, 0, 0, 0)
		if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
			die("futex wait", errno)
		}
	}
	pass := func(value uint32) {
		ball.Store(value)
		_, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, word, futexWake, 1, 0, 0, 0)
		checkErrno("futex wake", errno)
	}
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for {
			switch ball.Load() {
			case gameOver:
				close(done)
				return
			case ballThere:
				pass(ballHere)
			default:
				wait(ballHere)
			}
		}
	}()
	run := func(n int) {
		for i := 0; i < n; i++ {
			pass(ballThere)
			for ball.Load() == ballThere {
				wait(ballThere)
			}
		}
	}
	return run, func() {
		pass(gameOver)
		<-done
	}
}

func epollReady() (func(int), func()) {
	ep, err := syscall.EpollCreate1(0)
	check("epoll_create1", err)
	p := newPipe()
	_, err = syscall.Write(p[1], buffer[:1])
	check("write", err)
	event := syscall.EpollEvent{Events: syscall.EPOLLIN}
	check("epoll_ctl", syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, p[0], &event))
	run := func(n int) {
		var events [1]syscall.EpollEvent
		for i := 0; i < n; i++ {
			_, err := syscall.EpollWait(ep, events[:], -1)
			check("epoll_wait", err)
		}
	}
	return run, func() { syscall.Close(ep); syscall.Close(p[0]); syscall.Close(p[1]) }
}

func runMmap(n int) {
	for i := 0; i < n; i++ {
		m, err := syscall.Mmap(-1, 0, 64*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		check("mmap", err)
		for at := 0; at < len(m); at += page {
			m[at] = 1
		}
		check("munmap", syscall.Munmap(m))
	}
}

type row struct {
	name  string
	setup func() (func(int), func())
}

func plain(run func(int)) func() (func(int), func()) {
	return func() (func(int), func()) { return run, func() {} }
}

func rows() []row {
	return []row{
		{"getpid_raw", plain(runGetpid)},
		{"clock_gettime_raw", plain(runClock)},
		{"read1_devzero", plain(runReadZero)},
		{"pread4k_tmpfs", plain(preadPage(scratchFd))},
		{"pread4k_root", plain(preadPage(rootFd))},
		{"pwrite4k_tmpfs", plain(runPwrite)},
		{"open_close_tmpfs", plain(openClose(scratchPath))},
		{"open_close_root", plain(openClose(selfPath))},
		{"stat_tmpfs", plain(statPath(scratchPath))},
		{"stat_root", plain(statPath(selfPath))},
		{"pipe_self", pipeSelf},
		{"pipe_pingpong", pipePingpong},
		{"unix_pingpong", unixPingpong},
		{"futex_pingpong", futexPingpong},
		{"epoll_wait_ready", epollReady},
		{"sched_yield", plain(runYield)},
		{"mmap_touch64_munmap", plain(runMmap)},
	}
}

func calibrate(run func(int), batch time.Duration) int {
	for n := 1; ; n *= 2 {
		start := time.Now()
		run(n)
		if took := time.Since(start); took > batch/8 || n >= maxIterate {
			return max(1, int(float64(n)*float64(batch)/float64(took+1)))
		}
	}
}

func measure(r row, batches int, batch time.Duration) {
	run, teardown := r.setup()
	n := calibrate(run, batch)
	samples := make([]float64, batches)
	fmt.Printf("begin %s %d %d\n", r.name, n, batches)
	for k := range samples {
		start := time.Now()
		run(n)
		samples[k] = float64(time.Since(start)) / float64(n)
	}
	fmt.Printf("end %s\n", r.name)
	teardown()
	for _, s := range samples {
		fmt.Printf("sample %s %.3f\n", r.name, s)
	}
}

func openFiles(wanted string) {
	dirs := []string{"/dev/shm", "/tmp"}
	if wanted != "" {
		dirs = []string{wanted}
	}
	var err error
	for _, dir := range dirs {
		path := fmt.Sprintf("%s/microbench.%d", dir, os.Getpid())
		if scratchFd, err = syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_TRUNC, 0o600); err == nil {
			scratchPath = path
			fmt.Printf("tmpdir %s\n", dir)
			break
		}
	}
	check("scratch file", err)
	_, err = syscall.Write(scratchFd, buffer[:])
	check("write of the scratch file", err)
	selfPath = os.Args[0]
	rootFd, err = syscall.Open(selfPath, syscall.O_RDONLY, 0)
	check("open of the program", err)
	zeroFd, err = syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	check("open of /dev/zero", err)
}

func main() {
	flags := flag.NewFlagSet("microbench.go", flag.ExitOnError)
	batches := flags.Int("batches", 5, "timed batches for each row")
	batchUs := flags.Int("batch-us", 20000, "length aimed at for a batch, in microseconds")
	dir := flags.String("tmp", "", "where to make the scratch file")
	if len(os.Args) < 2 || os.Args[1] != "run" {
		fmt.Fprintln(os.Stderr, "microbench.go: expected run")
		os.Exit(2)
	}
	check("arguments", flags.Parse(os.Args[2:]))
	runtime.LockOSThread()
	fmt.Println("microbench 1")
	openFiles(*dir)
	measured := 0
	for _, r := range rows() {
		wanted := flags.NArg() == 0
		for _, name := range flags.Args() {
			wanted = wanted || name == r.name
		}
		if wanted {
			measure(r, *batches, time.Duration(*batchUs)*time.Microsecond)
			measured++
		}
	}
	os.Remove(scratchPath)
	if measured == 0 {
		fmt.Fprintln(os.Stderr, "microbench.go: no such row")
		os.Exit(2)
	}
}
