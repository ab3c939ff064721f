/* Who may look into another process by its files in /proc, and what a file opened before an execve shows after it. */
#include "probe.h"

#include <linux/capability.h>
#include <linux/prctl.h>

#define USER 1234

static const char *const files[] = {"maps", "smaps", "environ", "auxv", "personality", "fd", "fdinfo", "cwd", "exe", "root",
				    "cmdline", "stat", "status", "limits"};

/* What the one who looks saw: errors of opening (or of reading the link), then of reading. */
struct seen {
	long open[countof(files)], read[countof(files)];
	uint32_t owner_dir, owner_file;
	long fdinfo_file;
};

struct target {
	int pid;
	struct seen *seen;
	uint32_t uid;
};

static int become(uint32_t uid)
{
	return err_of(sys(setgroups, 0, NULL)) || err_of(sys(setresgid, uid, uid, uid)) || err_of(sys(setresuid, uid, uid, uid));
}

static void look(int pid, struct seen *seen)
{
	char path[64], buf[4096];
	struct stat st;
	for (size_t i = 0; i < countof(files); i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
		bool link = !strcmp(files[i], "cwd") || !strcmp(files[i], "exe") || !strcmp(files[i], "root");
		long fd = link ? sys(readlink, path, buf, sizeof buf) : sys(openat, AT_FDCWD, path, O_RDONLY);
		seen->open[i] = err_of(fd);
		seen->read[i] = link || fd < 0 ? 0 : err_of(sys(read, fd, buf, sizeof buf));
		if (!link && fd >= 0)
			sys(close, fd);
	}
	snprintf(path, sizeof path, "/proc/%d", pid);
	seen->owner_dir = stat(path, &st) ? -1u : st.st_uid;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	seen->owner_file = stat(path, &st) ? -1u : st.st_uid;
	snprintf(path, sizeof path, "/proc/%d/fdinfo/0", pid);
	seen->fdinfo_file = err_of(sys(openat, AT_FDCWD, path, O_RDONLY));
}

static int looker(void *arg)
{
	struct target *t = arg;
	if (become(t->uid))
		return 1;
	look(t->pid, t->seen);
	return 0;
}

static int go[2], ready[2];

static int wait_here(void)
{
	char c = 0;
	sys(write, ready[1], &c, 1);
	sys(read, go[0], &c, 1);
	return 0;
}

static int target_root(void *unused)
{
	(void)unused;
	return wait_here();
}

static int target_user(void *dumpable)
{
	if (become(USER) || err_of(sys(prctl, PR_SET_DUMPABLE, (long)dumpable, 0, 0, 0)))
		return 1;
	return wait_here();
}

/* The same ids, but capabilities that the other has not. */
static int target_capable(void *unused)
{
	(void)unused;
	if (err_of(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)))
		return 1;
	return target_user((void *)1);
}

static void case_of(const char *id, int (*body)(void *), void *arg, uint32_t uid)
{
	struct seen *seen = pages(1, true);
	char c;
	make_pipe(go, 0);
	make_pipe(ready, 0);
	struct target t = {.seen = seen, .uid = uid};
	t.pid = (int)spawn(body, arg);
	require(sys(read, ready[0], &c, 1) == 1);
	require(reap(spawn(looker, &t)) == 0);
	must(sys(write, go[1], "", 1));
	require(reap(t.pid) == 0);
	struct value opens[countof(files)], reads[countof(files)];
	for (size_t i = 0; i < countof(files); i++) {
		opens[i] = v_errno(seen->open[i]);
		reads[i] = v_errno(seen->read[i]);
	}
	observe(id, "openat", ret_int(0), ARGS(f_uint("uid", uid)),
		STATE(f_value("opens", v_items_(V_LIST, opens, countof(files))),
		      f_value("reads", v_items_(V_LIST, reads, countof(files))), f_uint("dir", seen->owner_dir),
		      f_uint("file", seen->owner_file), f_errno("fdinfo", seen->fdinfo_file)));
	for (int i = 0; i < 2; i++) {
		sys(close, go[i]);
		sys(close, ready[i]);
	}
}

static int on_itself(void *arg)
{
	if (become(USER))
		return 1;
	((struct target *)arg)->pid = getpid();
	look(getpid(), ((struct target *)arg)->seen);
	return 0;
}

static int dumpables(void *arg)
{
	long *out = arg;
	out[0] = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	sys(setfsuid, USER);
	out[1] = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	sys(setresgid, -1, USER, -1);
	out[2] = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	sys(setresuid, USER, -1, -1);
	out[3] = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	out[4] = sys(prctl, PR_SET_DUMPABLE, 2, 0, 0, 0);
	return 0;
}

/* Waits, then is another program with another environment. */
static int executes(void *unused)
{
	char *argv[] = {"probes-c", "child", "procfs_access", NULL}, *envp[] = {"SECRET=of-the-new-image", NULL};
	(void)unused;
	wait_here();
	sys(execve, "/proc/self/exe", argv, envp);
	return 1;
}

CHILD("procfs_access")
{
	(void)argc, (void)argv, (void)envp;
	char c = 0;
	sys(write, 100, &c, 1);
	sys(read, 101, &c, 1);
	return 0;
}

PROBE("procfs/access", "roots", "same_user", "not_dumpable", "more_capable", "by_root", "itself", "dumpable", "after_exec")
{
	case_of("roots", target_root, NULL, USER);
	case_of("same_user", target_user, (void *)1, USER);
	case_of("not_dumpable", target_user, (void *)0, USER);
	case_of("more_capable", target_capable, NULL, USER);
	case_of("by_root", target_user, (void *)0, 0);
	struct seen *seen = pages(1, true);
	struct target t = {.seen = seen};
	require(reap(spawn(on_itself, &t)) == 0);
	struct value opens[countof(files)];
	for (size_t i = 0; i < countof(files); i++)
		opens[i] = v_errno(seen->open[i]);
	observe("itself", "openat", ret_int(0), ARGS(),
		STATE(f_value("opens", v_items_(V_LIST, opens, countof(files))), f_uint("file", seen->owner_file)));
	long *out = pages(1, true);
	require(reap(spawn(dumpables, out)) == 0);
	observe("dumpable", "prctl", ret_int(out[0]), ARGS(),
		STATE(f_int("fsuid", out[1]), f_int("egid", out[2]), f_int("uid", out[3]), f_int("set", out[4])));

	make_pipe(go, 0);
	make_pipe(ready, 0);
	must(sys(dup2, ready[1], 100));
	must(sys(dup2, go[0], 101));
	long pid = spawn(executes, NULL), fd[3], n[3];
	static const char *const of_memory[] = {"environ", "maps", "auxv"};
	char c, path[64], buf[65536];
	require(sys(read, ready[0], &c, 1) == 1);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "/proc/%ld/%s", pid, of_memory[i]);
		fd[i] = must(sys(openat, AT_FDCWD, path, O_RDONLY));
	}
	must(sys(write, go[1], "", 1));
	require(sys(read, ready[0], &c, 1) == 1);
	for (size_t i = 0; i < 3; i++)
		n[i] = sys(read, fd[i], buf, sizeof buf);
	snprintf(path, sizeof path, "/proc/%ld/environ", pid);
	long anew = get_file(path, buf, sizeof buf);
	must(sys(write, go[1], "", 1));
	require(reap(pid) == 0);
	observe("after_exec", "read", ret_int(n[0]), ARGS(),
		STATE(f_int("maps", n[1]), f_bool("auxv", n[2] > 0), f_int("anew", anew)));
}
