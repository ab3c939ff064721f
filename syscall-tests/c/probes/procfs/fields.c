/* What the text files of /proc show of a process, and whom the links in it let through. */
#include "probe.h"

#include <linux/capability.h>
#include <linux/prctl.h>

static char b[8192];

static const char *read_all(const char *path)
{
	long n = get_file(path, b, sizeof b - 1);
	b[n > 0 ? n : 0] = 0;
	return b;
}

/* Field `n` of /proc/PID/stat, from 1; the name is one. */
static long stat_field(long pid, int n)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	read_all(path);
	const char *at = strrchr(b, ')');
	require(at != NULL);
	at += 2;
	for (int i = 3; i < n; i++)
		at = strchr(at, ' ') + 1;
	return n == 3 ? *at : atol(at);
}

static void limit(const char *id, const char *name)
{
	read_all("/proc/self/limits");
	char *at = strstr(b, name), soft[32] = "", hard[32] = "", unit[32] = "";
	int got = at ? sscanf(at + 26, "%31s %31s %31s", soft, hard, unit) : 0;
	observe(id, "read", ret_int(got), ARGS(f_str("name", name)), STATE(f_str("soft", soft), f_str("hard", hard), f_str("unit", unit)));
}

static void status(const char *id, const char *key)
{
	char text[256] = "";
	bool there = proc_status(0, key, text, sizeof text);
	observe(id, "read", ret_bool(there), ARGS(f_str("key", key)), STATE(f_str("text", text)));
}

static int go[2], ready[2];
static int idle(void *arg)
{
	(void)arg;
	char c;
	sys(setsid);
	sys(write, ready[1], "x", 1);
	sys(read, go[0], &c, 1);
	return 0;
}

static int in_group(void *arg)
{
	(void)arg;
	char c;
	sys(setpgid, 0, 0);
	sys(write, ready[1], "x", 1);
	sys(read, go[0], &c, 1);
	return 0;
}

/* One that keeps capabilities beside an ordinary user's ids, and lets itself be seen. */
static int capable(void *arg)
{
	(void)arg;
	char c;
	must(sys(prctl, PR_SET_KEEPCAPS, 1));
	must(sys(setgroups, 0, NULL));
	must(sys(setresgid, 1234, 1234, 1234));
	must(sys(setresuid, 1234, 1234, 1234));
	must(sys(prctl, PR_SET_DUMPABLE, 1));
	sys(write, ready[1], "x", 1);
	sys(read, go[0], &c, 1);
	return 0;
}

static int mixed(void *arg)
{
	(void)arg;
	char c;
	must(sys(setresgid, 1101, 1102, 1103));
	must(sys(setresuid, 1001, 1002, 1003));
	sys(write, ready[1], "x", 1);
	sys(read, go[0], &c, 1);
	must(sys(prctl, PR_SET_DUMPABLE, 1));
	sys(write, ready[1], "x", 1);
	sys(read, go[0], &c, 1);
	return 0;
}

static long target;
static int looks(long *r)
{
	static const char *const links[] = {"fd/0", "cwd", "exe", "root"};
	char path[64];
	for (size_t i = 0; i < countof(links); i++) {
		snprintf(path, sizeof path, "/proc/%ld/%s", target, links[i]);
		r[2 * i] = sys(readlink, path, b, sizeof b) > 0 ? 0 : err_of(sys(readlink, path, b, sizeof b));
		r[2 * i + 1] = err_of(sys(openat, AT_FDCWD, path, O_RDONLY));
	}
	snprintf(path, sizeof path, "/proc/%ld/fd", target);
	r[8] = err_of(sys(openat, AT_FDCWD, path, O_RDONLY));
	snprintf(path, sizeof path, "/proc/%ld/environ", target);
	r[9] = err_of(sys(openat, AT_FDCWD, path, O_RDONLY));
	r[10] = err_of(sys(pidfd_getfd, sys(pidfd_open, target, 0), 0, 0));
	uint64_t mask = 0;
	must(sys(sched_getaffinity, 0, 8, &mask));
	r[11] = err_of(sys(sched_setaffinity, target, 8, &mask));
	snprintf(path, sizeof path, "/proc/%ld/fdinfo/0", target);
	r[12] = err_of(sys(openat, AT_FDCWD, path, O_RDONLY));
	struct rlimit limits;
	r[13] = err_of(sys(prlimit64, target, RLIMIT_NOFILE, NULL, &limits));
	uint64_t head, len;
	r[14] = err_of(sys(get_robust_list, target, &head, &len));
	r[15] = err_of(sys(kill, target, 0));
	r[16] = err_of(sys(setpriority, 0, target, 5));
	struct sched_param param = {0};
	r[17] = err_of(sys(sched_setscheduler, target, 3, &param));
	return 0;
}

static void owners(const char *id, long pid)
{
	static const char *const names[] = {"", "/status", "/fd", "/maps", "/task", "/cwd"};
	uint32_t uid[6], gid[6];
	for (size_t i = 0; i < countof(names); i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/%ld%s", pid, names[i]);
		struct stat st = lstat_of(path);
		uid[i] = st.st_uid, gid[i] = st.st_gid;
	}
	observe(id, "lstat", ret_int(0), ARGS(), STATE(f_list("uids", v_uint(uid[0]), v_uint(uid[1]), v_uint(uid[2]), v_uint(uid[3]), v_uint(uid[4]), v_uint(uid[5])), f_list("gids", v_uint(gid[0]), v_uint(gid[1]), v_uint(gid[2]), v_uint(gid[3]))));
}

PROBE("procfs/fields", "stat_session", "stat_group", "stat_parent", "stat_state", "stat_nice", "stat_threads", "stat_children", "limit_files", "limit_core", "limit_stack", "limit_cpu", "umask", "pending", "pending_shared", "blocked", "ignored", "caught", "uid", "gid", "groups",
      "inheritable", "ambient", "no_new_privs", "name", "owners", "owners_dumpable", "link_fd", "open_fd", "link_cwd", "open_cwd", "link_exe", "open_exe", "link_root", "open_root", "list_fd", "environ", "getfd", "affinity", "fdinfo", "prlimit", "robust_list", "kill", "priority", "scheduler", "comm_exec", "removed_cwd", "removed_fd")
{
	char c;
	make_pipe(go, 0);
	make_pipe(ready, 0);
	long child = spawn(idle, NULL);
	must(sys(read, ready[0], &c, 1));
	observe("stat_session", "read", ret_bool(stat_field(child, 6) == child), ARGS(), STATE(f_bool("group", stat_field(child, 5) == child)));
	must(sys(write, go[1], "x", 1));
	reap(child);
	child = spawn(in_group, NULL);
	must(sys(read, ready[0], &c, 1));
	observe("stat_group", "read", ret_bool(stat_field(child, 5) == child), ARGS(), STATE(f_bool("session", stat_field(child, 6) == sys(getsid, 0)), f_bool("apart", sys(getsid, 0) != child)));
	observe("stat_parent", "read", ret_bool(stat_field(child, 4) == sys(getpid)), ARGS(), STATE());
	must(sys(kill, child, SIGSTOP));
	int word;
	must(sys(wait4, child, &word, WUNTRACED, NULL));
	observe("stat_state", "read", ret_int(stat_field(child, 3)), ARGS(), STATE());
	must(sys(kill, child, SIGCONT));
	must(sys(setpriority, 0, child, 7));
	observe("stat_nice", "read", ret_int(stat_field(child, 19)), ARGS(), STATE(f_int("priority", stat_field(child, 18))));
	must(sys(write, go[1], "x", 1));
	reap(child);
	observe("stat_threads", "read", ret_int(stat_field(sys(getpid), 20)), ARGS(), STATE());
	observe("stat_children", "read", ret_bool(stat_field(sys(getpid), 1 + 2) == 'R'), ARGS(), STATE());
	struct rlimit l = {77, 99};
	must(sys(setrlimit, RLIMIT_NOFILE, &l));
	limit("limit_files", "Max open files");
	l = (struct rlimit){0, 4096};
	must(sys(setrlimit, RLIMIT_CORE, &l));
	limit("limit_core", "Max core file size");
	l = (struct rlimit){1 << 20, RLIM_INFINITY};
	must(sys(setrlimit, RLIMIT_STACK, &l));
	limit("limit_stack", "Max stack size");
	l = (struct rlimit){1000, 2000};
	must(sys(setrlimit, RLIMIT_CPU, &l));
	limit("limit_cpu", "Max cpu time");
	sys(umask, 0137);
	status("umask", "Umask");
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(40));
	must(sys(tgkill, sys(getpid), sys(gettid), SIGUSR1));
	must(sys(kill, sys(getpid), 40));
	status("pending", "SigPnd");
	status("pending_shared", "ShdPnd");
	status("blocked", "SigBlk");
	struct ksigaction ignore = {.handler = (void (*)(int, siginfo_t *, void *))1};
	must(sys(rt_sigaction, SIGUSR2, &ignore, NULL, 8));
	on_signal(SIGALRM, (void (*)(int, siginfo_t *, void *))1234, 0, 0);
	char text[64] = "";
	proc_status(0, "SigIgn", text, sizeof text);
	observe("ignored", "read", ret_bool(strtoull(text, NULL, 16) & SIGBIT(SIGUSR2)), ARGS(), STATE(f_bool("caught", strtoull(text, NULL, 16) & SIGBIT(SIGALRM))));
	proc_status(0, "SigCgt", text, sizeof text);
	observe("caught", "read", ret_bool(strtoull(text, NULL, 16) & SIGBIT(SIGALRM)), ARGS(), STATE(f_bool("ignored", strtoull(text, NULL, 16) & SIGBIT(SIGUSR2))));
	long *r = pages(1, true);
	child = sys(fork);
	if (!child) {
		uint32_t groups[2] = {30, 20};
		must(sys(setgroups, 2, groups));
		must(sys(setresgid, 1101, 1102, 1103));
		must(sys(prctl, PR_SET_KEEPCAPS, 1));
		must(sys(setresuid, 1001, 1002, 1003));
		status("uid", "Uid");
		status("gid", "Gid");
		status("groups", "Groups");
		struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
		struct __user_cap_data_struct d[2] = {{1 << CAP_CHOWN, 1 << CAP_CHOWN | 1 << CAP_FOWNER, 1 << CAP_CHOWN | 1 << CAP_FOWNER}};
		must(sys(capset, &h, d));
		must(sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_FOWNER, 0, 0));
		status("inheritable", "CapInh");
		status("ambient", "CapAmb");
		must(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		status("no_new_privs", "NoNewPrivs");
		must(sys(prctl, PR_SET_NAME, "a b\\c"));
		status("name", "Name");
		sys(exit_group, 0);
	}
	require(reap(child) == 0);
	child = spawn(mixed, NULL);
	must(sys(read, ready[0], &c, 1));
	owners("owners", child);
	must(sys(write, go[1], "x", 1));
	must(sys(read, ready[0], &c, 1));
	owners("owners_dumpable", child);
	must(sys(write, go[1], "x", 1));
	reap(child);
	target = child = spawn(capable, NULL);
	must(sys(read, ready[0], &c, 1));
	must(sys(setpriority, 0, 0, 0));
	run_as(1234, 1234, looks, r);
	static const char *const ids[] = {"link_fd", "open_fd", "link_cwd", "open_cwd", "link_exe", "open_exe", "link_root", "open_root", "list_fd", "environ", "getfd", "affinity", "fdinfo", "prlimit", "robust_list", "kill", "priority", "scheduler"};
	static const char *const calls[] = {"readlink", "openat", "readlink", "openat", "readlink", "openat", "readlink", "openat", "openat", "openat", "pidfd_getfd", "sched_setaffinity", "openat", "prlimit64", "get_robust_list", "kill", "setpriority", "sched_setscheduler"};
	for (size_t i = 0; i < countof(ids); i++)
		observe(ids[i], calls[i], ret_int(-r[i]), ARGS(), STATE());
	must(sys(write, go[1], "x", 1));
	reap(child);
	observe("comm_exec", "read", ret_int((long)strlen(read_all("/proc/self/comm"))), ARGS(), STATE(f_str("comm", b)));
	sys(umask, 022);
	must(sys(mkdir, "gone", 0755));
	must(sys(chdir, "gone"));
	put_file("f", "x", 1);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	must(sys(unlink, "f"));
	must(sys(rmdir, "../gone"));
	char path[64];
	memset(b, 0, 512);
	long n = sys(readlink, "/proc/self/cwd", b, 512);
	observe("removed_cwd", "readlink", ret_bool(n > 0), ARGS(), STATE(f_str("end", n > 15 ? b + n - 15 : "")));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	memset(b, 0, 512);
	n = sys(readlink, path, b, 512);
	observe("removed_fd", "readlink", ret_bool(n > 0), ARGS(), STATE(f_str("end", n > 12 ? b + n - 12 : "")));
}
