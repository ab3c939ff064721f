/*
 * What a C probe is made of: raw system calls, typed values, observations.
 *
 *     #include "probe.h"
 *
 *     PROBE("open/excl_existing", "create", "exists")
 *     {
 *         long fd = sys(openat, AT_FDCWD, "f", O_CREAT | O_EXCL | O_RDWR, 0600);
 *         observe("create", "openat", ret_fd(fd), ARGS(f_hex("flags", O_CREAT | O_EXCL | O_RDWR)), STATE());
 *         ...
 *     }
 *
 * One translation unit holds one probe; linking it in registers it. The stream that observe() writes is described in
 * syscall-tests/README.md; the Rust crate's encoder writes the same bytes (golden/encoder.ndjson).
 */
#ifndef BEVOR_PROBE_H
#define BEVOR_PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- raw system calls ---- */

/* Issues system call `nr`; the result is the kernel's own: -4095..-1 are negated error numbers. */
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#define sys_pad_(nr, a, b, c, d, e, f, ...)                                                                           \
	sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* sys(openat, AT_FDCWD, "f", O_RDONLY): missing arguments are 0. */
#define sys(name, ...) sys_pad_(__NR_##name __VA_OPT__(, ) __VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* The value of a call that the probe's set-up needs; anything else makes the probe broken. */
#define must(call) must_(call, #call)
long must_(long ret, const char *what);
/* The set-up or positive control `condition` has to hold. */
#define require(condition)                                                                                            \
	do {                                                                                                          \
		if (!(condition))                                                                                     \
			broken("control failed: %s", #condition);                                                     \
	} while (0)
/* Reports that the set-up or positive control failed, and ends the process. */
void broken(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ---- typed values ---- */

enum value_type {
	V_INT, V_UINT, V_HEX, V_BOOL, V_STR, V_BYTES, V_ERRNO, V_FD, V_PID, V_INO, V_DEV, V_ADDR, V_TIME, V_DUR, V_REL,
	V_SET, V_LIST, V_MAP,
};

struct field;
struct value {
	enum value_type type;
	int64_t i;              /* int, bool, errno, fd, pid, time, dur */
	uint64_t u;             /* uint, hex, ino, dev, addr */
	int64_t min, max;       /* dur */
	const void *data;       /* str, bytes, rel; items of set, list, map */
	size_t len;             /* bytes of str and bytes; items of set, list, map */
};
struct field {
	const char *name;
	struct value v;
};
struct fields {
	const struct field *items;
	size_t len;
};

static inline struct value v_int(int64_t v) { return (struct value){.type = V_INT, .i = v}; }
static inline struct value v_uint(uint64_t v) { return (struct value){.type = V_UINT, .u = v}; }
static inline struct value v_hex(uint64_t v) { return (struct value){.type = V_HEX, .u = v}; }
static inline struct value v_bool(bool v) { return (struct value){.type = V_BOOL, .i = v}; }
static inline struct value v_strn(const char *v, size_t n) { return (struct value){.type = V_STR, .data = v, .len = n}; }
static inline struct value v_str(const char *v) { return v_strn(v, strlen(v)); }
static inline struct value v_bytes(const void *v, size_t n) { return (struct value){.type = V_BYTES, .data = v, .len = n}; }
/* An error number, positive; 0 is "none". */
static inline struct value v_errno(int64_t v) { return (struct value){.type = V_ERRNO, .i = v}; }
static inline struct value v_fd(int64_t v) { return (struct value){.type = V_FD, .i = v}; }
static inline struct value v_pid(int64_t v) { return (struct value){.type = V_PID, .i = v}; }
static inline struct value v_ino(uint64_t v) { return (struct value){.type = V_INO, .u = v}; }
static inline struct value v_dev(uint64_t v) { return (struct value){.type = V_DEV, .u = v}; }
static inline struct value v_addr(const void *v) { return (struct value){.type = V_ADDR, .u = (uintptr_t)v}; }
/* A time in nanoseconds since an epoch; compared only through relations. */
static inline struct value v_time(int64_t ns) { return (struct value){.type = V_TIME, .i = ns}; }
/* A duration in nanoseconds and the bounds that it is compared by. */
static inline struct value v_dur(int64_t ns, int64_t min, int64_t max)
{
	return (struct value){.type = V_DUR, .i = ns, .min = min, .max = max};
}
/* How `a` compares with `b`: "lt", "eq" or "gt". */
static inline struct value v_rel(int64_t a, int64_t b)
{
	return (struct value){.type = V_REL, .data = a < b ? "lt" : a > b ? "gt" : "eq"};
}
static inline struct value v_items_(enum value_type t, const void *items, size_t n)
{
	return (struct value){.type = t, .data = items, .len = n};
}
#define ITEMS_(type, ...) ((const type[]){__VA_ARGS__}), sizeof((const type[]){__VA_ARGS__}) / sizeof(type)
#define v_list(...) v_items_(V_LIST, ITEMS_(struct value, __VA_ARGS__))
#define v_set(...) v_items_(V_SET, ITEMS_(struct value, __VA_ARGS__))
#define v_map(...) v_items_(V_MAP, ITEMS_(struct field, __VA_ARGS__))

#define f_int(name, v) ((struct field){name, v_int(v)})
#define f_uint(name, v) ((struct field){name, v_uint(v)})
#define f_hex(name, v) ((struct field){name, v_hex(v)})
#define f_bool(name, v) ((struct field){name, v_bool(v)})
#define f_str(name, v) ((struct field){name, v_str(v)})
#define f_strn(name, v, n) ((struct field){name, v_strn(v, n)})
#define f_bytes(name, v, n) ((struct field){name, v_bytes(v, n)})
#define f_errno(name, v) ((struct field){name, v_errno(v)})
#define f_fd(name, v) ((struct field){name, v_fd(v)})
#define f_pid(name, v) ((struct field){name, v_pid(v)})
#define f_ino(name, v) ((struct field){name, v_ino(v)})
#define f_dev(name, v) ((struct field){name, v_dev(v)})
#define f_addr(name, v) ((struct field){name, v_addr(v)})
#define f_time(name, v) ((struct field){name, v_time(v)})
#define f_dur(name, v, min, max) ((struct field){name, v_dur(v, min, max)})
#define f_rel(name, a, b) ((struct field){name, v_rel(a, b)})
#define f_list(name, ...) ((struct field){name, v_list(__VA_ARGS__)})
#define f_map(name, ...) ((struct field){name, v_map(__VA_ARGS__)})
#define f_value(name, value) ((struct field){name, value})

/* ---- observations ---- */

/* A raw result and how to show it; a negated error number becomes -1 and the errno's name. */
struct ret {
	long raw;
	struct value v;
};
static inline struct ret ret_int(long r) { return (struct ret){r, v_int(r)}; }
static inline struct ret ret_fd(long r) { return (struct ret){r, v_fd(r)}; }
static inline struct ret ret_pid(long r) { return (struct ret){r, v_pid(r)}; }
static inline struct ret ret_bool(bool r) { return (struct ret){r, v_bool(r)}; }
static inline struct ret ret_hex(long r) { return (struct ret){r, v_hex((uint64_t)r)}; }
static inline struct ret ret_addr(long r) { return (struct ret){r, v_addr((void *)r)}; }

#define ARGS(...) ((struct fields){ITEMS_(struct field, __VA_ARGS__)})
#define STATE(...) ARGS(__VA_ARGS__)

/* Writes one observation. */
void observe_(const char *id, const char *call, struct ret ret, struct fields args, struct fields state);
/* The same; `ret` is evaluated before `args` and `state`, so that the read-back comes after the call. */
#define observe(id, call, result, ...)                                                                                \
	do {                                                                                                          \
		struct ret observed_ = result;                                                                        \
		observe_(id, call, observed_, __VA_ARGS__);                                                           \
	} while (0)

/* An error number's name, such as "ENOENT"; "none" for 0. */
const char *errno_name(long number);
/* The positive error number of a raw result, 0 if it is none. */
static inline int err_of(long raw) { return raw < 0 && raw >= -4095 ? (int)-raw : 0; }

/* ---- registration ---- */

struct probe {
	const char *id;
	void (*run)(void);
	const char *const *plan;
	size_t planned;
};
/* A helper program that a probe executes as `/proc/self/exe child NAME ARGS…`. */
struct child {
	const char *name;
	int (*run)(int argc, char **argv, char **envp);
};

/* Defines and registers the translation unit's probe: its id and the ids of its observations in order. */
#define PROBE(id_, ...)                                                                                               \
	static void probe_run_(void);                                                                                 \
	static const char *const probe_plan_[] = {__VA_ARGS__};                                                       \
	static const struct probe probe_ = {id_, probe_run_, probe_plan_, sizeof probe_plan_ / sizeof *probe_plan_};  \
	__attribute__((used, section("probes"))) static const struct probe *const probe_entry_ = &probe_;             \
	static void probe_run_(void)

#define CHILD(name_)                                                                                                  \
	static int child_run_(int argc, char **argv, char **envp);                                                    \
	static const struct child child_ = {name_, child_run_};                                                       \
	__attribute__((used, section("children"))) static const struct child *const child_entry_ = &child_;           \
	static int child_run_(int argc, char **argv, char **envp)

#include "helpers.h"
#endif
