/* Helpers for the read-back: files, status, children, signals, threads. Included by probe.h. */
#ifndef BEVOR_PROBE_HELPERS_H
#define BEVOR_PROBE_HELPERS_H

#define countof(array) (sizeof(array) / sizeof *(array))

/* The kernel's struct sigaction, which differs from libc's. */
struct ksigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};
#define SA_RESTORER_ 0x04000000ul
#define SIGBIT(signal) (1ull << ((signal)-1))
/* Calls rt_sigreturn. */
void sig_restorer(void);
/* Sets a handler with SA_SIGINFO | SA_RESTORER | flags; broken if refused. */
void on_signal(int signal, void (*handler)(int, siginfo_t *, void *), unsigned long flags, uint64_t mask);
/* Blocks or unblocks `set`; returns the old mask; broken if refused. */
uint64_t mask_signals(int how, uint64_t set);
/* Pending signals; broken if refused. */
uint64_t pending_signals(void);

/* Creates `path` with `data`; broken on failure. */
void put_file(const char *path, const void *data, size_t len);
/* Reads up to `cap` bytes of `path` through a descriptor of its own; the length or a negated error number. */
long get_file(const char *path, void *buf, size_t cap);
/* The file `path` by lstat; `exists` tells whether it is there. */
struct stat lstat_of(const char *path);
/* lstat's error number for `path`, 0 if it exists. */
int lstat_errno(const char *path);
/* fstat; broken on failure. */
struct stat fstat_of(int fd);
/* The number of an open descriptor's flags (F_GETFD), or a negated error number. */
static inline long fd_flags(long fd) { return sys(fcntl, fd, F_GETFD); }
static inline long status_flags(long fd) { return sys(fcntl, fd, F_GETFL); }
static inline long tell(long fd) { return sys(lseek, fd, 0, SEEK_CUR); }
/* CLOCK_MONOTONIC in ns. */
int64_t now_ns(void);
/* `clock` in ns; broken on failure. */
int64_t clock_ns(clockid_t clock);

/* Waits for child `pid` and returns its wait status; broken on failure. */
int reap(long pid);
/* Runs `body` in a child that exits with its value; returns the pid. */
long spawn(int (*body)(void *), void *arg);
/* Runs `body` in a child with these ids and no supplementary groups; broken unless it returns 0. `results` is shared memory. */
void run_as(uid_t uid, gid_t gid, int (*body)(long *results), long *results);
/* A time stamp in ns. */
static inline int64_t stamp_ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }
/* Returns once a file that changes now gets a later time than all that changed before. */
void next_stamp(void);
/* A thread sharing everything with its creator, without its own TLS: only raw system calls in `body`. */
struct thread {
	volatile int32_t tid_word; /* set by the kernel to the tid, cleared and woken at its end */
	long tid;
	void *stack;
};
void thread_start(struct thread *t, int (*body)(void *), void *arg);
void thread_join(struct thread *t);
/* Waits until process or thread `tid` of process `pid` sleeps interruptibly (state S), as /proc shows. */
void await_sleep(long pid, long tid);
/* Waits until `n` tasks wait on the futex `word`, which holds `value`; `flag` is FUTEX_PRIVATE_FLAG or 0 like theirs. */
void await_waiters(int32_t *word, int flag, int32_t value, long n);
/* The value of `key` in /proc/PID/status into `buf`; false if absent or unreadable. `pid` 0 is self. */
bool proc_status(long pid, const char *key, char *buf, size_t cap);
/* A pipe; broken on failure. */
void make_pipe(int fds[2], int flags);
/* Fresh zeroed memory of whole pages, MAP_SHARED if `shared`. */
void *pages(size_t count, bool shared);

#endif
